"""What may be concluded from measurements of two arms of traffic.

Knows counts, margins, e-values and verdicts; knows nothing of Kubernetes. Everything but `sources` is pure:
no I/O, no clock, no logging, no randomness. Time is an argument.

    policy = Policy(metrics=(Metric("errors", Proportion(bad=..., total=...)), ...), alpha=0.01, beta=0.05)
    cp = begin(policy, at)                    # once a rollout; cp.to_json(), Checkpoint.from_json(dict)
    cp = begin_step(cp, "3", at)              # fresh safe evidence, once the step's effect was observed
    cp = route(cp, 0.05, at)                  # the canary's share is tested from here on, if policy.share
    reading = await take(source, metric, arms, cp.cut(name), until, context)  # analysis.sources; never raises
    cp = fold(policy, cp, name, reading)      # exactly once: else NotAtCutError
    cp = skip(cp, name, until)                # give up the evidence of an interval
    judgement = judge(policy, cp, at, active=None, min_duration=timedelta(0))
    reasons = compatible(policy, cp, at, active=None, min_requests=None)  # empty: promoteIfCompatible may
    noise = calibrate(policy, name, pod_histories(...), interval, canary_pods)  # before: how noisy it is
"""

from analysis.calibration import Calibration, calibrate
from analysis.compatibility import compatible
from analysis.evidence import Counts, Pair, Series
from analysis.histogram import Buckets
from analysis.history import PodHistory, pod_histories
from analysis.metric import (
    Against,
    Direction,
    Dispersion,
    Histogram,
    Kind,
    Line,
    Margin,
    Mean,
    Metric,
    Proportion,
    Rate,
    Role,
    Slo,
    Up,
)
from analysis.policy import InvalidPolicy, Policy
from analysis.reading import ArmSamples, Context, Reading, Samples, Status, lookback, read
from analysis.routing import RouteVerdict, Share
from analysis.sequential import Checkpoint, NotAtCutError, begin, begin_step, fold, route, skip
from analysis.verdict import Judgement, MetricVerdict, Outcome, judge

__all__ = [
    "Against",
    "ArmSamples",
    "Buckets",
    "Calibration",
    "Checkpoint",
    "Context",
    "Counts",
    "Direction",
    "Dispersion",
    "Histogram",
    "InvalidPolicy",
    "Judgement",
    "Kind",
    "Line",
    "Margin",
    "Mean",
    "Metric",
    "MetricVerdict",
    "NotAtCutError",
    "Outcome",
    "Pair",
    "PodHistory",
    "Policy",
    "Proportion",
    "Rate",
    "Reading",
    "Role",
    "RouteVerdict",
    "Samples",
    "Series",
    "Share",
    "Slo",
    "Status",
    "Up",
    "begin",
    "begin_step",
    "calibrate",
    "compatible",
    "fold",
    "judge",
    "lookback",
    "pod_histories",
    "read",
    "route",
    "skip",
]
