"""What can keep the sandbox or the story from going on; each message says what to do."""

from rollout.demo.repository import GitFailedError
from rollout.demo.stage import StageError
from rollout.sandbox.install import ToolMissingError
from rollout.sandbox.processes import ProcessFailedError

FORESEEN = (ToolMissingError, ProcessFailedError, StageError, GitFailedError)
