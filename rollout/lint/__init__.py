"""Whether manifests would be served, found out offline: each by itself, and what they refer to.

It asks the very functions that the operator asks about live objects, so both say the same of the same fault.
"""

from collections.abc import Callable, Iterable, Iterator

from rollout.lint.alone import alone, is_kind, named, rollout_of, twice
from rollout.lint.asking import not_allowed
from rollout.lint.findings import Document, Finding, Severity
from rollout.lint.planes import plane_of
from rollout.lint.references import claimed_twice, referring, templates_of
from rollout.lint.thresholds import doubtful

__all__ = [
    "Document",
    "Finding",
    "Severity",
    "by_itself",
    "is_kind",
    "lint",
    "named",
    "plane_of",
    "rollout_of",
    "templates_of",
]


def by_itself(document: Document, allows: Callable[[str], bool]) -> Iterator[Finding]:
    """What there is to say about a manifest, whatever else there is; `allows` as for `lint`."""
    yield from alone(document)
    if named(document.body):
        yield from not_allowed(document, allows)
        yield from doubtful(document)


def lint(
    documents: Iterable[Document], allows: Callable[[str], bool] = lambda _address: True
) -> list[Finding]:
    """Everything there is to say about a set of manifests, in the order of files and lines.

    What a Rollout refers to must be in the set; cluster-wide templates may live elsewhere. `allows` says
    whether the operator may ask the Prometheus at an address.
    """
    given = tuple(documents)
    findings = [finding for document in given for finding in by_itself(document, allows)]
    known = [document for document in given if named(document.body)]
    findings += twice(known)
    rollouts = [(document, value) for document in known if (value := rollout_of(document.body)) is not None]
    for document, value in rollouts:
        findings += referring(document, value, known)
    findings += claimed_twice(rollouts, known)
    return sorted(findings)
