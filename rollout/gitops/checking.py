"""What our own models say of our own kinds, before the API server is asked. Pure."""

from collections.abc import Sequence

from rollout.api.analysis import parse_analysis_template, parse_cluster_analysis_template
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.gitsource import parse_git_source
from rollout.api.meta import ARGO_GROUP, GROUP
from rollout.api.rollout import parse_rollout
from rollout.git.errors import FileProblem
from rollout.git.manifests import Manifest as Written
from rollout.gitops import desired
from rollout.gitops.refusals import Refusals


def refuse_invalid(manifests: Sequence[Written], refusals: Refusals) -> None:
    """Note every problem of every object. Raises `ManifestsRefused(InvalidManifest)`."""
    for manifest in manifests:
        refusals.note(manifest, _invalid(manifest))
    refusals.settle("InvalidManifest")


def _invalid(manifest: Written) -> tuple[FileProblem, ...]:
    """What our own models refuse of our own kinds."""
    parsers = {
        "Rollout": parse_rollout,
        "AnalysisTemplate": parse_analysis_template,
        "ClusterAnalysisTemplate": parse_cluster_analysis_template,
        "GitSource": parse_git_source,
    }
    if mistake := desired.unknown_mode(manifest):
        return (manifest.problem(f"metadata.annotations[{desired.APPLY}]", mistake),)
    if manifest.group not in (GROUP, ARGO_GROUP) or manifest.kind not in parsers:
        return ()
    try:
        parsers[manifest.kind](manifest.body)
    except InvalidSpec as invalid:
        return placed(manifest, invalid.problems, str(invalid))
    return ()


def placed(manifest: Written, problems: Sequence[Problem], text: str) -> tuple[FileProblem, ...]:
    """Problems of an object as places in its file."""
    if not problems:
        return (manifest.problem("", text),)
    return tuple(manifest.problem(problem.path, str(problem)) for problem in problems)
