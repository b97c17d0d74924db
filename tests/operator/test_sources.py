"""Whom metrics may ask: the operator's own Prometheus, and what an administrator allows."""

from datetime import UTC, datetime, timedelta

import pytest

from analysis.sources import QueryRefusedError
from rollout.api.providers import Prometheus
from rollout.measure.access import Access
from rollout.operator.sources import NotAllowed, Sources
from rollout.settings import Settings

OWN, OTHER = "http://prometheus:9090", "http://169.254.169.254"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sources(settings: Settings) -> Sources:
    async def no_secrets(namespace: str, name: str, field: str) -> dict[str, bytes]:
        raise AssertionError(f"{field} asks for {name} of {namespace}")

    return Sources(settings, no_secrets)


def server(address: str) -> Access:
    return Access(Prometheus(address=address), "shop")


@pytest.mark.parametrize(
    ("settings", "address", "says"),
    [
        pytest.param(Settings(), "", "an administrator sets ROLLOUT_PROMETHEUS", id="none named anywhere"),
        pytest.param(
            Settings(prometheus=OWN, prometheus_allowed=(OWN,)),
            OTHER,
            "an administrator adds it to ROLLOUT_PROMETHEUS_ALLOWED",
            id="one that is not allowed",
        ),
        pytest.param(
            Settings(prometheus_allowed=(OWN,)),
            f"{OWN}@{OTHER.removeprefix('http://')}",
            "ROLLOUT_PROMETHEUS_ALLOWED",
            id="one that only looks as if",
        ),
    ],
)
async def test_what_may_not_be_asked_is_refused_with_its_field_and_the_remedy(
    settings: Settings, address: str, says: str
) -> None:
    source = sources(settings).at(server(address))
    for asked in (source.query("up", NOW, timedelta(seconds=1)), source.instant("up", NOW)):
        with pytest.raises(QueryRefusedError, match=r"^provider\.prometheus\.address: ") as refused:
            await asked
        assert says in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        pytest.param(Settings(), OTHER, id="any, where nothing is said"),
        pytest.param(Settings(prometheus=OWN, prometheus_allowed=("http://a",)), "", id="its own, always"),
        pytest.param(Settings(prometheus_allowed=(OWN,)), f"{OWN}/tenant", id="below one that is allowed"),
    ],
)
def test_what_may_be_asked_is_asked(settings: Settings, address: str) -> None:
    found = sources(settings)
    assert not isinstance(found.at(server(address)), NotAllowed)
    found.close()
