"""The controllers of the embedded cluster, through the API alone: each would work over the wire as well.

A controller maps events to keys; a key is reconciled by one turn at a time, from what is read live.
"""
