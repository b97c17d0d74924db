"""Where the numbers of a metric come from: a Prometheus server, how it is asked, and as whom.

Field names are Argo Rollouts'. What proves who asks may hold secret arguments, and nothing else may: their
values are read when a question is asked, and stand nowhere else.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from rollout.api import rules
from rollout.api.base import Model, Switch, duration_text, parse_duration
from rollout.api.errors import Problem
from rollout.api.selectors import inserted, is_open

REFERENCE = "secret:"
"""Before `NAME/KEY` in a placeholder of a run: what stands in for a secret argument."""
MOST_POINTS = 500
"""Of one series in a range."""
_MOMENT = re.compile(r"\s*now\(\)\s*(?:([-+])\s*duration\(\s*([\"'])([^\"']+)\2\s*\)\s*)?")

Plain = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\r\n]*$")]


class SecretKey(Model):
    """One value of a Secret in the namespace of the Rollout."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    """The Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """The key in its data."""

    @property
    def placeholder(self) -> str:
        """What stands for the value in an AnalysisRun."""
        return f"{{{{{REFERENCE}{self.name}/{self.key}}}}}"


class Header(Model):
    """A header that each question carries."""

    key: Annotated[str, Field(max_length=256, pattern=r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")]
    """Its name: X-Scope-OrgID."""
    value: Plain
    """Its value; a secret argument may stand in it."""


class BasicAuth(Model):
    """A user and a password."""

    username: Plain
    """The user; a secret argument may stand in it."""
    password: Plain
    """The password: a secret argument."""


class OAuth2(Model):
    """Client credentials, by which a token is fetched and renewed."""

    token_url: Annotated[str, Field(pattern="^https?://[^ ]+$", max_length=2048)]
    """Where tokens are given. The operator has to allow it, as it allows a Prometheus."""
    client_id: Plain
    """The client; a secret argument may stand in it."""
    client_secret: Plain
    """What proves it: a secret argument."""
    scopes: Annotated[tuple[Plain, ...], Field(max_length=16)] = ()
    """What the token is asked for."""


class Authentication(Model):
    """As whom Prometheus is asked."""

    basic_auth: BasicAuth | None = None
    """By user and password."""
    oauth2: OAuth2 | None = None
    """By a token."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.basic_auth is None) == (self.oauth2 is None):
            raise ValueError("must have exactly one of basicAuth, oauth2")
        return self


class Prometheus(Model):
    """A Prometheus server."""

    address: Annotated[str, Field(pattern="^(https?://[^ ]+)?$", max_length=2048)] = ""
    """Where its API is: http://prometheus:9090. Default: the operator's own."""
    headers: tuple[Header, ...] = Field((), max_length=16)
    """Headers that each question carries."""
    timeout: Annotated[int, Field(strict=True, ge=1, le=60)] | None = None
    """How many seconds an answer may take. Default: 10."""
    insecure: Switch = False
    """Whether any certificate of the server will do."""
    authentication: Authentication | None = None
    """As whom it is asked. Default: nobody."""

    _headers = field_validator("headers")(rules.distinct("key"))

    @property
    def server(self) -> "Prometheus":
        """Without what it is asked."""
        return Prometheus.model_construct(**{name: getattr(self, name) for name in Prometheus.model_fields})

    @property
    def plain(self) -> bool:
        """Whether it is asked as any other is."""
        return self.server == Prometheus(address=self.address)

    @property
    def credentials(self) -> tuple[tuple[str, str], ...]:
        """(field path, text) of what secrets may stand in."""
        found = [(f".headers[{index}].value", each.value) for index, each in enumerate(self.headers)]
        basic = self.authentication and self.authentication.basic_auth
        oauth2 = self.authentication and self.authentication.oauth2
        if basic:
            where = ".authentication.basicAuth"
            found += [(f"{where}.username", basic.username), (f"{where}.password", basic.password)]
        if oauth2:
            where = ".authentication.oauth2"
            found += [
                (f"{where}.clientId", oauth2.client_id),
                (f"{where}.clientSecret", oauth2.client_secret),
            ]
        return tuple(found)

    def with_credentials(self, values: Mapping[str, str]) -> Self:
        """With the placeholders of its credentials filled in, character for character."""
        headers = tuple(
            each.model_copy(update={"value": inserted(each.value, values)}) for each in self.headers
        )
        return self.model_copy(update={"headers": headers, "authentication": self._authenticated(values)})

    def _authenticated(self, values: Mapping[str, str]) -> Authentication | None:
        if self.authentication is None:
            return None
        if basic := self.authentication.basic_auth:
            told = {name: inserted(getattr(basic, name), values) for name in ("username", "password")}
            return Authentication(basic_auth=basic.model_copy(update=told))
        oauth2 = self.authentication.oauth2
        assert oauth2 is not None, "one of the two"
        told = {name: inserted(getattr(oauth2, name), values) for name in ("client_id", "client_secret")}
        return Authentication(oauth2=oauth2.model_copy(update=told))

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        named = [index for index, each in enumerate(self.headers) if each.key.lower() == "authorization"]
        if named and self.authentication is not None:
            message = "says who asks, and so does authentication"
            raise rules.WrongFieldsError(Problem(f".headers[{named[0]}]", message, "keep one of them"))
        return self


class Provider(Model):
    """Where the numbers come from."""

    prometheus: Prometheus = Prometheus()
    """A Prometheus server."""


def _moment(text: str) -> str:
    if not is_open(text):
        offset(text)
    return text


def offset(text: str) -> timedelta:
    """How far from now `now() - duration("5m")` is.

    Raises:
        ValueError: it is written in another way.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError('write now(), or now() - duration("5m")')
    if found[3] is None:
        return timedelta(0)
    length = parse_duration(found[3])
    return -length if found[1] == "-" else length


def _step(value: object) -> object:
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, str) and is_open(value):
        return value
    length = parse_duration(value)
    if length <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return duration_text(length)


Moment = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_moment)]


class RangeQuery(Model):
    """The query is asked at several instants; all of their values are the result, series after series."""

    start: Moment
    """The first instant: now() - duration("5m")."""
    end: Moment
    """The last one: now()."""
    step: Annotated[str, Field(max_length=256), BeforeValidator(_step)]
    """The time between two."""

    @property
    def open(self) -> bool:
        """Whether a placeholder is not filled in."""
        return any(is_open(text) for text in (self.start, self.end, self.step))

    @model_validator(mode="after")
    def _few_points(self) -> Self:
        if self.open:
            return self
        span = offset(self.end) - offset(self.start)
        if span < timedelta(0):
            raise rules.WrongFieldsError(Problem(".start", "lies after the end"))
        if span / parse_duration(self.step) >= MOST_POINTS:
            message = f"gives more than {MOST_POINTS} values of each series"
            raise rules.WrongFieldsError(Problem(".step", message, "make it longer"))
        return self


class QueriedPrometheus(Prometheus):
    """A Prometheus server, and what it is asked."""

    query: Annotated[str, Field(max_length=8192)] = ""
    """An expression in PromQL; its result is what the conditions speak of. Not beside compare."""
    range_query: RangeQuery | None = None
    """At which instants. Default: at one. Not beside compare."""


class QueryProvider(Model):
    """Where the numbers come from."""

    prometheus: QueriedPrometheus = QueriedPrometheus()
    """A Prometheus server."""
