"""The host of a repository beside Git itself: statuses on commits, and pull requests.

`asking` is what any host is asked, `dialects` knows whom to ask how, without I/O; `door` asks. Nothing here
decides, and nobody's token leaves a header.
"""
