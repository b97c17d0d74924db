"""The only door to the API server: typed calls, errors by remedy, and caches that follow what is ours.

Two kinds of watching, on purpose. kopf follows our own kinds and only wakes a turn, for which it needs no
memory. What a turn reads besides (ReplicaSets, pods, Services, routes, EndpointSlices) must be there as a
whole, pruned after every gap in a watch; kopf keeps no such cache, so a `Reflector` does: list, watch, and
keep a projection of each object. Nothing here decides anything, and nothing here knows what a Rollout is.
"""
