"""The only door to the API server: typed calls, errors by remedy, and caches that follow what is ours.

One way of watching: a `Reflector` lists by pages, watches, and keeps a projection of each object, pruned
after every gap in a watch. What only wakes a turn is projected to almost nothing. Nothing here decides
anything, and nothing here knows what a Rollout is.
"""
