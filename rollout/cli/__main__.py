"""`python -m rollout.cli`: the same as the console script."""

from rollout.cli.app import main

main()
