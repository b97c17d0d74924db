"""When Prometheus last scraped a version: asked of Prometheus itself, not of who judged by it."""

from datetime import UTC, datetime

import aiohttp

_LAST = 'max(timestamp(http_requests_total{{rollouts_pod_template_hash="{hash}"}}))'
TIMEOUT = aiohttp.ClientTimeout(total=5)


class Scrapes:
    """One Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def last(self, revision: str, until: datetime) -> datetime | None:
        """The newest scrape of a revision's pods that lay before `until`; None where there is none."""
        asked = {"query": _LAST.format(hash=revision), "time": f"{until.timestamp():.3f}"}
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.get(f"{self._url}/api/v1/query", params=asked) as answer,
        ):
            found = (await answer.json())["data"]["result"]
        return datetime.fromtimestamp(float(found[0]["value"][1]), UTC) if found else None
