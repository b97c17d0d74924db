"""An in-memory Kubernetes API server for demos and tests.

It answers as Kubernetes does, errors included; what it can't do it refuses with 501. It keeps nothing on
disk,
runs no controller and no pod, and no feature of the operator may depend on it.
"""
