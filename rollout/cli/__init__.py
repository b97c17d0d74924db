"""The command line: thin wiring from arguments to the rooms below, and their answers to exit codes.

It decides nothing and shows nothing of its own: `rollout.show` says what a person sees.
"""

from rollout.cli.app import main

__all__ = ["main"]
