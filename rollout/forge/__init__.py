"""The host of a repository beside Git itself: statuses on commits, and pull requests.

`dialects` says, without I/O, what each host wants to be asked; `door` asks it. Nothing here decides, and
nobody's token leaves a header.
"""
