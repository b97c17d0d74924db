"""Ages as kubectl shows them."""

from datetime import UTC, datetime


def age(stamp: str | None, at: datetime | None = None) -> str:
    """How long ago, in the two largest units that matter."""
    if not stamp:
        return "<unknown>"
    try:
        then = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return "<invalid>"
    seconds = int(((at or datetime.now(UTC)) - then).total_seconds())
    if seconds < -2:
        return "<invalid>"
    return short_duration(max(seconds, 0))


def short_duration(seconds: int) -> str:
    """Seconds as kubectl shows them: `59s`, `2m5s`, `3h12m`, `4d3h`, `2y11d`."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years = days // 365
    if years < 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"
