"""Where samples come from. A source answers with raw samples or says why not; it never judges."""

from analysis.sources.selector import (
    SelectorError,
    label_matchers,
    parse_matchers,
    parse_selector,
    pods_matchers,
)
from analysis.sources.taking import (
    Arms,
    PartialAnswerError,
    QueryRefusedError,
    Source,
    SourceDownError,
    take,
    validate,
)

__all__ = [
    "Arms",
    "PartialAnswerError",
    "QueryRefusedError",
    "SelectorError",
    "Source",
    "SourceDownError",
    "label_matchers",
    "parse_matchers",
    "parse_selector",
    "pods_matchers",
    "take",
    "validate",
]
