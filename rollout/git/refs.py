"""Which commit a source means: from what the server offers to one tip.

Refs are named in full, since a tag and a branch may have one name; `commit > name > semver > tag > branch`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from semantic_version import NpmSpec, Version

from rollout.api.errors import Stalled
from rollout.api.gitsource import Ref

_TAGS = "refs/tags/"
_HEADS = "refs/heads/"
_PEELED = "^{}"


@dataclass(frozen=True, slots=True)
class Tip:
    """The commit that is wanted now."""

    label: str
    """What people call it: a branch, a tag, a full ref; empty for a bare commit."""
    ref: str
    """Its full name on the server; empty for a commit that is asked for by its id."""
    sha: str

    @property
    def tracking(self) -> str:
        """Where the mirror keeps it."""
        if not self.ref:
            return f"refs/rollout/commits/{self.sha}"
        if self.ref.startswith(_HEADS):
            return f"refs/remotes/origin/{self.ref.removeprefix(_HEADS)}"
        return f"refs/rollout/{self.ref.removeprefix('refs/')}"

    @property
    def refspec(self) -> str:
        """What to fetch, and where to."""
        return f"+{self.ref or self.sha}:{self.tracking}"


def asked(ref: Ref) -> tuple[str, ...]:
    """The refs to ask the server for; none where the commit itself is named."""
    if ref.commit:
        return ()
    if ref.name:
        return (ref.name, ref.name + _PEELED)
    if ref.semver:
        return (_TAGS + "*",)
    if ref.tag:
        return (_TAGS + ref.tag, _TAGS + ref.tag + _PEELED)
    return (_HEADS + ref.branch,) if ref.branch else ("HEAD",)


def chosen(ref: Ref, refs: Mapping[str, str], links: Mapping[str, str]) -> Tip:
    """The tip that `ref` means among what the server answered: ids by ref, targets of symbolic refs.

    Raises:
        Stalled: there is none; the message names the field and the remedy.
    """
    if ref.commit:
        return Tip(ref.branch or "", "", ref.commit)
    if ref.name:
        return _named(ref.name, ref.name, refs, "name")
    if ref.semver:
        tag = _highest(ref.semver, refs)
        return _named(tag, _TAGS + tag, refs, "semver")
    if ref.tag:
        return _named(ref.tag, _TAGS + ref.tag, refs, "tag")
    if ref.branch:
        return _named(ref.branch, _HEADS + ref.branch, refs, "branch")
    return _default(refs, links)


def _named(label: str, ref: str, refs: Mapping[str, str], field: str) -> Tip:
    sha = refs.get(ref + _PEELED) or refs.get(ref)
    if sha is None:
        kind = {"name": "Ref"}.get(field, field.capitalize())
        raise Stalled(
            f"{kind}NotFound", f"{field} {label!r} does not exist; push it or change spec.ref.{field}"
        )
    return Tip(label, ref, sha)


def _default(refs: Mapping[str, str], links: Mapping[str, str]) -> Tip:
    if "HEAD" not in refs:
        message = "the repository has no HEAD: is it empty? Push a branch or change spec.ref.branch"
        raise Stalled("BranchNotFound", message)
    target = links.get("HEAD", "")
    if not target.startswith(_HEADS):
        raise Stalled("BranchNotFound", "the remote's HEAD is on no branch: set spec.ref.branch")
    return Tip(target.removeprefix(_HEADS), target, refs["HEAD"])


def _highest(wanted: str, refs: Mapping[str, str]) -> str:
    """The tag with the highest version in a range; where build metadata alone differs, the later name."""
    held = NpmSpec(wanted)
    tags = {ref.removeprefix(_TAGS) for ref in refs if ref.startswith(_TAGS) and not ref.endswith(_PEELED)}
    matching = [(version, tag) for tag in tags if (version := _version(tag)) is not None and version in held]
    if not matching:
        message = (
            f"spec.ref.semver: none of {len(tags)} tags lies in {wanted!r}; push such a tag, like v1.2.3"
        )
        raise Stalled("SemverNotFound", message)
    return max(matching, key=lambda each: (each[0].precedence_key, each[1]))[1]


def _version(tag: str) -> Version | None:
    try:
        return Version(tag.removeprefix("v"))
    except ValueError:
        return None
