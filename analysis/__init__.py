"""What may be concluded from measurements of two arms of traffic.

Knows counts, margins, e-values and verdicts; knows nothing of Kubernetes. Everything but `sources` is pure: no I/O,
no clock, no logging, no randomness. Time is an argument.

    policy = Policy(metrics=(Metric("errors", Proportion(bad=..., total=...)), ...), alpha=0.01, beta=0.05)
    cp = begin(policy, at)                         # once a rollout; cp.to_json(), Checkpoint.from_json(dict)
    cp = begin_step(cp, "3", at)                   # fresh safe evidence, once the step's effect was observed
    reading = await take(source, metric, arms, cp.cut(name), until, context)      # analysis.sources; never raises
    cp = fold(policy, cp, name, reading)           # exactly once: NotAtCut unless reading.since is cp.cut(name)
    cp = skip(cp, name, until)                     # drop the evidence of an interval
    judgement = judge(policy, cp, at, active=None, min_duration=timedelta(0))
    reasons = compatible(policy, cp, at, active=None, min_requests=None)          # empty: promoteIfCompatible may
"""
