"""The main job on the sandbox, told as a story: commits are promoted, rolled back and aborted.

The story is data, the runner plays it, the view shows it. It asserts itself: what ends otherwise than told
is a failure.
"""
