"""What may be concluded from measurements of two arms of traffic.

Knows counts, margins, e-values and verdicts; knows nothing of Kubernetes. Everything but `sources` is pure: no I/O,
no clock, no logging, no randomness. Time is an argument.
"""
