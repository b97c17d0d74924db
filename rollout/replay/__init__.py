"""Replays a policy on recorded samples: the operator's own planner and judge, a cluster that obeys at once.

What would have happened, and when. It decides nothing and knows no statistics; it touches no cluster.
"""
