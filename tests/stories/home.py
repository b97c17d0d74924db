"""A shop whose manifests come from a repository."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import manifests
import pytest_asyncio
from manifests import Manifest
from repository import Repository, git_source, text
from stage import GIT_SOURCES, ROLLOUTS, Never, Shop, until

from rollout.api.status import Phase
from rollout.sandbox.apiserver.errors import ApiError

ROLLOUT, TRAFFIC = "deploy/rollout.yaml", "deploy/traffic.yaml"


@dataclass(frozen=True, slots=True)
class Home:
    """A shop and the repository that it is pulled from."""

    shop: Shop
    repository: Repository

    async def push(self, subject: str, *rollout: Manifest, traffic: tuple[Manifest, ...] = ()) -> str:
        files = {ROLLOUT: text(*rollout)} if rollout else {}
        return await self.repository.commit(subject, files | ({TRAFFIC: text(*traffic)} if traffic else {}))

    async def source(self) -> Manifest:
        found: Manifest = (await self.shop.get(GIT_SOURCES)).get("status") or {}
        return found

    async def condition(self, kind: str) -> Manifest:
        conditions = (await self.source()).get("conditions") or ()
        return next((each for each in conditions if each["type"] == kind), {})

    async def applied(self, commit: str) -> None:
        async def reached() -> bool:
            return str((await self.source()).get("lastAppliedRevision", "")).endswith(commit)

        try:
            await until(f"{commit} to be applied", reached, seconds=20)
        except Never as never:
            raise Never(f"{never}\n{await self.source()}") from None

    async def tried(self, commit: str) -> Manifest:
        """Wait until a commit was read, whatever came of it; what Ready says."""

        async def reached() -> Manifest | None:
            status = await self.source()
            read = str(status.get("lastAttemptedRevision", "")).endswith(commit)
            ready = [each for each in status.get("conditions") or () if each["type"] == "Ready"]
            return ready[0] if read and ready else None

        found: Manifest = await until(f"{commit} to be tried", reached)
        return found

    async def refused(self, commit: str) -> Manifest:
        """Wait until a commit was read and refused; what Ready says."""

        async def reached() -> Manifest | None:
            read = str((await self.source()).get("lastAttemptedRevision", "")).endswith(commit)
            ready = await self.condition("Ready")
            return ready if read and ready.get("status") == "False" else None

        found: Manifest = await until(f"{commit} to be refused", reached)
        return found

    async def note(self, commit: str, verdict: str) -> str:
        async def written() -> str:
            found = await self.repository.note(commit)
            return found if f'"{verdict}"' in found else ""

        found: str = await until(f"a note {verdict} on {commit}", written)
        return found


@pytest_asyncio.fixture
async def home(shop: Shop, tmp_path: Path) -> AsyncIterator[Home]:
    """The first version stands, from Git."""
    files = {ROLLOUT: text(manifests.rollout()), TRAFFIC: text(*manifests.traffic())}
    repository = await Repository.with_files(tmp_path, files)
    await shop.apply(git_source(repository.url))
    home = Home(shop, repository)
    await until("the Rollout", lambda: _there(shop))
    await shop.phase(Phase.HEALTHY)
    yield home


async def _there(shop: Shop) -> bool:
    try:
        await shop.get(ROLLOUTS)
    except ApiError:
        return False
    return True
