"""The stories, by what they are about; importing this package registers them all."""

from conformance.stories import doors, intents, leaving, operating, promotion, troubles
from conformance.telling import STORIES

__all__ = ["STORIES", "doors", "intents", "leaving", "operating", "promotion", "troubles"]
