"""Prometheus and what speaks its HTTP API (Thanos, Mimir, VictoriaMetrics).

prometheus-api-client holds the connection and the credentials. Queries go through its session, because
its own methods drop the warnings by which a partial answer tells itself, retry for seconds and read all.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

import requests
from prometheus_api_client import PrometheusConnect

from analysis.evidence import NATIVE, Labels, Series, to_ms
from analysis.sources.evaluating import Answer, Window, parse_range, parse_result
from analysis.sources.native import CustomBucketsError, classic
from analysis.sources.taking import PartialAnswerError, QueryRefusedError, SourceDownError

MEBIBYTE = 1024 * 1024
MESSAGE_LENGTH = 300
_MEND_THE_QUESTION = {301, 302, 307, 308, 400, 401, 403, 404, 405, 413}
T = TypeVar("T")


class PrometheusSource:
    """Raw samples by instant queries with range selectors. Close it when done.

    url: the server's root, as in http://prometheus:9090. headers: sent with each request (a bearer token, a
    tenant). deadline: for a whole answer. largest: bytes of an answer, after decompression. at_once: queries
    under way.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        verify: bool | str = True,
        deadline: timedelta = timedelta(seconds=10),
        largest: int = 16 * MEBIBYTE,
        at_once: int = 8,
    ) -> None:
        session = requests.Session()
        session.verify = verify
        session.trust_env = False  # neither a proxy nor a .netrc that the spec doesn't name
        client = PrometheusConnect(url=url.rstrip("/"), headers=dict(headers or {}), session=session, retry=0)
        self._api = f"{client.url}/api/v1"
        self._shown = client.url.rpartition("@")[2]  # what errors may say: an address can hold a password
        self._session, self._headers = client._session, client.headers
        self._deadline, self._largest = deadline, largest
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="prometheus")

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """Raw samples of all matching series in `(at - span, at]`."""
        promql = f"{selector}[{max(span // timedelta(milliseconds=1), 1)}ms]"
        return await self._asked(promql, at, parse_matrix)

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """An instant vector."""
        return await self._asked(expression, at, parse_vector)

    async def evaluate(self, expression: str, at: datetime) -> Answer:
        """The result of an expression: a scalar, or one value for each series."""
        return await self._asked(expression, at, parse_result)

    async def evaluate_range(self, expression: str, window: Window) -> Answer:
        """The results of an expression at several instants, series after series."""
        return await self._asked(expression, window, parse_range)

    async def number(self, expression: str, at: datetime) -> float | None:
        """The one value of an expression, None for an empty answer; several series or NaN are refused."""
        found = await self.instant(expression, at)
        if len(found) > 1:
            raise QueryRefusedError(
                f"{expression} gives {len(found)} series where one is needed: sum() or choose one"
            )
        if found and math.isnan(found[0][1]):
            raise QueryRefusedError(f"{expression} is NaN")
        return found[0][1] if found else None

    def close(self) -> None:
        """Let go of connections and threads; what is under way ends by its deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def _asked(self, promql: str, at: datetime | Window, parse: Callable[[Mapping[str, Any]], T]) -> T:
        allowed = self._deadline.total_seconds()
        work = asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: parse(self._fetch(promql, at, time.monotonic() + allowed))
        )
        try:
            # Not `wait_for`: up to Python 3.11 it forgets a cancellation that comes together with the answer.
            async with asyncio.timeout(allowed):
                return await work
        except TimeoutError:
            raise SourceDownError(f"no answer within {allowed:g} s from {self._shown}") from None

    def _fetch(self, promql: str, at: datetime | Window, deadline: float) -> Mapping[str, Any]:
        allowed = deadline - time.monotonic()
        if allowed <= 0:
            raise SourceDownError(f"no time was left to ask {self._shown}: too many queries at once")
        path, when = _instants(at)
        asked = {"query": promql, **when, "timeout": f"{max(1, int(1000 * allowed))}ms"}
        try:
            with self._session.post(
                f"{self._api}/{path}",
                data=asked,
                headers=self._headers,
                timeout=allowed,
                stream=True,
                allow_redirects=False,
            ) as response:
                body = self._body(response, deadline)
                return parse_answer(response.status_code, body, promql)
        except requests.RequestException as failure:
            raise SourceDownError(f"{self._shown}: {_plain(failure)}") from failure

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(64 * 1024):
            body += chunk
            if len(body) > self._largest:
                raise QueryRefusedError(
                    f"the answer is larger than {self._largest // MEBIBYTE} MiB: narrow the selector",
                    too_much=True,
                )
            if time.monotonic() > deadline:
                raise SourceDownError(f"the answer of {self._shown} took too long")
        return bytes(body)


def _instants(at: datetime | Window) -> tuple[str, dict[str, str]]:
    """(path, parameters) of a question about one instant or several."""
    if isinstance(at, datetime):
        return "query", {"time": f"{to_ms(at) / 1000:.3f}"}
    return "query_range", {
        "start": f"{to_ms(at.start) / 1000:.3f}",
        "end": f"{to_ms(at.end) / 1000:.3f}",
        "step": f"{at.step / timedelta(seconds=1):g}",
    }


def parse_answer(status: int, body: bytes, promql: str) -> Mapping[str, Any]:
    """The `data` of an answer, or the error that its remedy asks for."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    message = str(answer.get("error") or f"HTTP {status}")[:MESSAGE_LENGTH]
    if status in _MEND_THE_QUESTION or answer.get("errorType") in ("bad_data", "execution"):
        too_much = answer.get("errorType") == "execution"
        raise QueryRefusedError(f"Prometheus refused {promql}: {message}", why=message, too_much=too_much)
    if status != 200 or answer.get("status") != "success":
        raise SourceDownError(f"Prometheus failed: {message}")
    if answer.get("warnings"):
        warned = "; ".join(map(str, answer["warnings"]))[:MESSAGE_LENGTH]
        raise PartialAnswerError(f"Prometheus answered in part: {warned}")
    data = answer.get("data")
    if not isinstance(data, dict):
        raise QueryRefusedError("the answer holds no data: is this the address of a Prometheus?")
    return data


def parse_matrix(data: Mapping[str, Any]) -> tuple[Series, ...]:
    """Series of a range selector; a native histogram as its buckets."""
    found = tuple(series for one in _result(data, "matrix") for series in _series(one))
    native = [NATIVE in one.labels for one in found if "le" in one.labels]
    if any(native) and not all(native):
        raise QueryRefusedError("native and classic histograms at once: name the one or the other")
    return found


def parse_vector(data: Mapping[str, Any]) -> tuple[tuple[Labels, float], ...]:
    """Labels and values of an instant vector."""
    try:
        return tuple((one["metric"], float(one["value"][1])) for one in _result(data, "vector"))
    except (KeyError, TypeError, ValueError, IndexError) as damage:
        raise QueryRefusedError(f"the answer is not one of Prometheus: {damage!r}") from damage


def _result(data: Mapping[str, Any], wanted: str) -> list[Any]:
    kind, result = data.get("resultType"), data.get("result")
    if kind != wanted or not isinstance(result, list):
        raise QueryRefusedError(f"the query gives a {kind} where a {wanted} is needed")
    return result


def _series(one: Any) -> tuple[Series, ...]:
    try:
        labels = one["metric"]
        if "histograms" in one and one.get("values"):
            raise QueryRefusedError(f"{labels} was native and is not, or the other way: name one of both")
        if "histograms" in one:
            return classic(labels, one["histograms"])
        return (Series(labels, tuple((round(at * 1000), float(value)) for at, value in one["values"])),)
    except CustomBucketsError:
        remedy = "give the classic buckets"
        raise QueryRefusedError(f"a native histogram with edges of its own: {remedy}") from None
    except (KeyError, TypeError, ValueError, OverflowError) as damage:
        raise QueryRefusedError(f"the answer is not one of Prometheus: {damage!r}") from damage


def _plain(failure: requests.RequestException) -> str:
    if isinstance(failure, requests.ConnectTimeout | requests.ReadTimeout):
        return "no answer in time"
    return "can't be reached" if isinstance(failure, requests.ConnectionError) else type(failure).__name__
