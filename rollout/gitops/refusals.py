"""What is wrong with a revision: it refuses all of it, or only the objects that it is about. Pure."""

from collections.abc import Iterable

from rollout.git.errors import FileProblem, ManifestsRefused
from rollout.git.manifests import Manifest as Written


class Refusals:
    """Problems of a revision, stage by stage; `spares`: whether the objects without any go on."""

    def __init__(self, *, spares: bool = False) -> None:
        self.problems: list[FileProblem] = []
        self._spares = spares
        self._keys: set[tuple[str, str, str, str]] = set()

    def note(self, manifest: Written | None, problems: Iterable[FileProblem]) -> None:
        """What is wrong with an object, or with what never became one."""
        found = tuple(problems)
        self.problems += found
        if found and manifest is not None:
            self._keys.add(manifest.key)

    def settle(self, reason: str) -> None:
        """A stage is through. Raises `ManifestsRefused` with all that was noted, unless it spares objects."""
        if self.problems and not self._spares:
            raise ManifestsRefused(tuple(self.problems), reason)

    def spared(self, manifests: Iterable[Written]) -> tuple[Written, ...]:
        """Those that nothing was noted of."""
        return tuple(each for each in manifests if each.key not in self._keys)

    def __str__(self) -> str:
        """Render for a status and an Event."""
        return "; ".join(str(each) for each in self.problems)
