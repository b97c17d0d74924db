"""What placeholders stand for where no version is under way: the one that is named, or any. Pure."""

import re
from collections.abc import Mapping

from rollout.api.analysis import Metric
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.rollout import Rollout

ANY = "[a-z0-9]+"
"""Any pod template hash, as a regular expression."""
_IS_ANY = re.compile(rf'="({re.escape(ANY)})"')


def versions(rollout: Rollout, stable: str | None, namespace: str) -> Mapping[str, str]:
    """Values for a Rollout's selectors: with `stable`, a hash, of that version alone, else of all."""
    canary = rollout.spec.strategy.canary
    return {
        "namespace": rollout.metadata.namespace or namespace,
        "name": rollout.metadata.name,
        "stable.hash": stable or ANY,
        "canary.hash": "none" if stable else ANY,
        "stable.service": canary.stable_service,
        "canary.service": canary.canary_service,
        "stable.revision": ANY,
        "canary.revision": ANY,
    }


def any_version(run: AnalysisRunSpec) -> AnalysisRunSpec:
    """`run` with the arms that name any hash by a regular expression."""
    changed = [_any(metric) if isinstance(metric, Metric) else metric for metric in run.metrics]
    return run.model_copy(update={"metrics": tuple(changed)})


def _any(metric: Metric) -> Metric:
    arms = metric.compare.arms
    told = {
        arm: _IS_ANY.sub(r'=~"\1"', text)
        for arm, text in (("stable", arms.stable), ("canary", arms.canary))
        if text is not None
    }
    changed = metric.compare.model_copy(update={"arms": arms.model_copy(update=told)})
    return metric.model_copy(update={"compare": changed})
