"""Workload objects as values: identity of a template, ReplicaSets, pods, Service selectors, endpoints.

No client: what is read comes as an argument, what shall be written goes back as a value.
"""
