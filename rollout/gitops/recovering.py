"""A cluster that was rebuilt begins with what was good last, as the notes in Git tell (`recovery: fromGit`).

A Rollout that has no stable version yet gets the template of the last one that was promoted, and all that was
refused. Once that serves, Git's own is applied: refused if it was, by its steps if nothing was decided of it.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Stalled
from rollout.api.gitsource import COMMIT_PATTERN, Recovery
from rollout.api.identity import attempt_key, template_hash
from rollout.api.meta import GROUP
from rollout.api.rollout import parse_rollout
from rollout.api.status import REFUSED_LIMIT, RefusedAttempt, Verdict
from rollout.git import notes
from rollout.git.errors import ManifestsRefused
from rollout.git.manifests import Manifest as Written
from rollout.git.manifests import Parser
from rollout.git.revision import Revision
from rollout.gitops.notes import GOOD, REFUSALS
from rollout.gitops.policy import CLUSTER_SCOPED
from rollout.gitops.visit import Visit
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.observe.reading import RECOVERED_ANNOTATION, read_status

UNVERIFIED = "InitialDeployUnverified"
_REASON_LIMIT = 200
Verified = Callable[[Revision], Awaitable[object]]
"""Raises where a revision is not signed as it has to be."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A revision as it is applied to a cluster that does not know it yet."""

    manifests: tuple[Written, ...]
    first: tuple[str, ...] = ()
    """Rollouts that get another template first, and why; once it serves, the revision is applied."""
    notices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Noted:
    """A verdict, as a note tells it."""

    commit: str
    attempt: str
    """Without the number of the retry."""
    hash: str
    verdict: Verdict
    reason: str
    at: datetime


def noted(by_commit: Mapping[str, bytes], rollout: str) -> tuple[Noted, ...]:
    """What notes tell of a Rollout (`shop/checkout`), in the order of time; the unreadable is left out."""
    found = (
        _noted(commit, record)
        for commit, note in by_commit.items()
        if re.match(COMMIT_PATTERN, commit)
        for record in notes.records(note)
        if record["rollout"] == rollout
    )
    return tuple(sorted((each for each in found if each is not None), key=lambda each: each.at))


def _noted(commit: str, record: Mapping[str, object]) -> Noted | None:
    try:
        at = datetime.fromisoformat(str(record["at"]))
        verdict = Verdict(str(record["verdict"]))
    except (KeyError, ValueError):
        return None
    if at.tzinfo is None:
        return None
    attempt = str(record["attempt"]).partition(".")[0]
    reason = str(record.get("reason", ""))[:_REASON_LIMIT]
    return Noted(commit, attempt, str(record.get("hash", "")), verdict, reason, at)


def refused(told: Sequence[Noted]) -> tuple[RefusedAttempt, ...]:
    """The attempts of which a refusal is the last word, the newest last."""
    last = {each.attempt: each for each in told}
    return tuple(
        RefusedAttempt(
            attempt=each.attempt, hash=each.hash, verdict=each.verdict, reason=each.reason, at=each.at
        )
        for each in told
        if each.verdict in REFUSALS and last[each.attempt] is each
    )[-REFUSED_LIMIT:]


def good(told: Sequence[Noted]) -> Iterator[Noted]:
    """Promotions of versions that were not refused since, the newest first."""
    over: set[str] = set()
    for each in reversed(told):
        if each.verdict in REFUSALS:
            over.add(each.hash)
        elif each.verdict in GOOD and each.hash not in over:
            yield each


async def recover(
    visit: Visit, revision: Revision, manifests: Sequence[Written], kube: Kube, verified: Verified
) -> Recovered:
    """A revision with another template in each Rollout that this cluster has no stable version of yet.

    Raises:
        Stalled: what is wanted was refused, and nothing is known to be good; or that is not signed.
        Retry: Git or the API server can't be read.
    """
    if visit.source.spec.recovery is not Recovery.FROM_GIT:
        return Recovered(tuple(manifests))
    by_commit: Mapping[str, bytes] | None = None
    taken, first, notices = [], [], []
    for manifest in manifests:
        taken.append(manifest)
        if not await _begins(manifest, kube):
            continue
        by_commit = await visit.mirror.notes() if by_commit is None else by_commit
        told = noted(by_commit, f"{manifest.namespace}/{manifest.name}")
        if (wanted := _wanted(manifest)) is None:
            continue  # it will be refused for that
        attempt, template = wanted
        refusal = next((each for each in refused(told) if each.attempt == attempt), None)
        if refusal is None and any(each.hash == template for each in good(told)):
            continue
        found = await _last_good(visit, revision, manifest, told, verified)
        if found is None:
            notices.append((UNVERIFIED, _unverified(manifest, refusal, told)))
            continue
        taken[-1] = _begun_with(manifest, found, refused(told))
        brought = found.brought_by.short if found.brought_by else ""
        why = f"it was {refusal.verdict} ({refusal.reason})" if refusal else "no verdict on it is noted"
        first.append(f"{manifest} begins with {brought}, which was good last; of what Git asks for, {why}")
    return Recovered(tuple(taken), tuple(first), tuple(notices))


async def _begins(manifest: Written, kube: Kube) -> bool:
    """Whether it is a Rollout without a stable version."""
    if (manifest.group, manifest.kind) != (GROUP, "Rollout"):
        return False
    live: Manifest | None = await kube.find(kinds.ROLLOUTS, manifest.namespace, manifest.name)
    return live is None or not read_status(live.get("status") or {}).stable_rs


def _wanted(manifest: Written) -> tuple[str, str] | None:
    """The attempt and the template that Git asks for; None where that can't be read."""
    try:
        spec = parse_rollout(manifest.body).spec
    except InvalidSpec:
        return None
    return attempt_key(spec), template_hash(manifest.body["spec"]["template"])


def _unverified(manifest: Written, refusal: RefusedAttempt | None, told: Sequence[Noted]) -> str:
    """Raises `ManifestsRefused` for a version that was refused: there is nothing to begin with."""
    if refusal is not None:
        message = (
            f"this version was {refusal.verdict} ({refusal.reason}), and no good one before it is found in "
            "this history: push another version, or give spec.retry another value"
        )
        raise ManifestsRefused((manifest.problem("spec.template", message),), "NothingToRecover")
    what = (
        "no version that was promoted is found in this history" if told else "there is no note on it in Git"
    )
    return f"{manifest} is deployed without steps: {what}"


async def _last_good(
    visit: Visit, revision: Revision, manifest: Written, told: Sequence[Noted], verified: Verified
) -> Written | None:
    """The Rollout as the commit has it that was promoted last, on the history of `revision`."""
    for each in good(told):
        commit = await visit.mirror.past(revision, each.commit)
        found = await _at(visit, commit, manifest) if commit is not None else None
        if commit is None or found is None:
            continue
        # What the note says was promoted; whoever can write notes chooses among commits, never a template.
        if template_hash(found.body.get("spec", {}).get("template") or {}) == each.hash:
            await verified(commit)
            return replace(found, brought_by=commit)
    return None


async def _at(visit: Visit, commit: Revision, manifest: Written) -> Written | None:
    try:
        blobs = await visit.mirror.read(commit, visit.source.spec.path)
    except Stalled:
        return None  # the path was another one then, or held what may not be read
    found, _ = Parser().sift(blobs, visit.name[0], CLUSTER_SCOPED)
    return next((each for each in found if each.key == manifest.key), None)


def _begun_with(manifest: Written, found: Written, refusals: Sequence[RefusedAttempt]) -> Written:
    """The wanted Rollout with another template, and a note of what was refused."""
    metadata = manifest.body["metadata"]
    text = json.dumps([each.manifest() for each in refusals], ensure_ascii=False)
    annotations = {**(metadata.get("annotations") or {}), RECOVERED_ANNOTATION: text}
    body = {
        **manifest.body,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**manifest.body["spec"], "template": found.body["spec"]["template"]},
    }
    return replace(manifest, body=body, blob=found.blob, brought_by=found.brought_by)
