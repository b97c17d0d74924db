"""Numbers as people read them: `1.1 %`, `3,720`, `2d`, `[####......]`."""

from datetime import timedelta

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"))
BAR_WIDTH = 10


def percent(share: float) -> str:
    """A share of one as a percentage with two figures that matter: 0.0113 is `1.1 %`, 0.25 is `25 %`."""
    value = share * 100
    digits = 0 if value >= 10 or value == 0 else 1 if value >= 0.95 else 2
    return f"{value:.{digits}f} %"


def count(number: float) -> str:
    """A count with its thousands apart: `3,720`."""
    return f"{number:,.0f}"


def length(time: timedelta) -> str:
    """A length of time by its largest unit, by two below ten minutes: `12d`, `5h`, `3m20s`, `8s`."""
    seconds = max(0, int(time.total_seconds()))
    if 60 <= seconds < 600:
        return f"{seconds // 60}m{seconds % 60}s" if seconds % 60 else f"{seconds // 60}m"
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def bar(progress: float, width: int = BAR_WIDTH) -> str:
    """Progress from 0 to 1 as `[####......]`; full only when it is really reached."""
    filled = min(width if progress >= 1 else width - 1, max(0, int(progress * width)))
    return "[" + "#" * filled + "." * (width - filled) + "]"
