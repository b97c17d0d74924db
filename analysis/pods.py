"""What pods that differ by themselves do to a comparison of a few of them with a few others."""

from __future__ import annotations

import math

from scipy.special import stdtrit

from analysis.metric import Against, Dispersion


def inflation(noise: Dispersion, level: float, canary_pods: int, stable_pods: int, against: Against) -> float:
    """The factor that the canary's pods alone put between the arms' rates with probability at most `level`.

    exp(t tau sqrt(1/P_C + 1/P_S)), t the (1 - level) quantile of Student's distribution with as many degrees
    of freedom as the estimate of tau has: the difference of two means of normal offsets. For the pods there
    are now; pods that come and go have other offsets.
    """
    if noise.tau == 0:
        return 1.0
    variance = 1 / max(canary_pods, 1)
    if against is Against.STABLE:
        variance += 1 / max(stable_pods, 1)
    return math.exp(float(stdtrit(noise.pods - 1, 1 - level)) * noise.tau * math.sqrt(variance))
