"""One immutable snapshot of a Rollout and all that belongs to it.

From the watch caches where nothing is under way; the Rollout always, and its Services and routes while
something is under way, are read live, since a stale one would hurt there. Nothing is decided or written.
"""
