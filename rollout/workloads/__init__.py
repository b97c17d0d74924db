"""Workload objects as values: identity of a template, ReplicaSets, Service selectors. No client."""
