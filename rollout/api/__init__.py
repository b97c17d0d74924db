"""The vocabulary: the kinds of `progressive.delivery/v1alpha1`, their statuses, intents and errors.

Values only: nothing here reads a clock, a file or a cluster.
"""
