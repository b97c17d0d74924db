"""The stories, by what they are about; importing this package registers them all."""

from conformance.stories import promotion
from conformance.telling import STORIES

__all__ = ["STORIES", "promotion"]
