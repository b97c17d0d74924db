"""The embedded cluster: everything a newcomer needs to see the main job, and what the tests run on.

It answers as Kubernetes does or says 501. Nothing outside this package, the demo and the tests imports it.
"""
