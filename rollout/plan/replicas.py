"""How many pods each arm needs. Rounded so that traffic never outweighs pods."""


def canary(weight_percent: int, replicas: int, least: int = 1) -> int:
    """Pods that carry `weight_percent` of the traffic of `replicas` pods, rounded up.

    At least `least`, even at weight 0: a Service must reach somebody before traffic does. At most `replicas`.

    >>> canary(5, 10), canary(25, 4), canary(26, 4), canary(95, 1), canary(0, 10), canary(100, 7)
    (1, 1, 2, 1, 1, 7)
    >>> canary(5, 10, least=2), canary(5, 1, least=2), canary(50, 0)
    (2, 1, 0)
    """
    share = -(-replicas * weight_percent // 100)
    return min(replicas, max(share, least))
