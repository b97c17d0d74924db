"""The operator's stories against any cluster, through nothing but its API and kubectl.

It imports nothing of the operator or the sandbox: what it says of a cluster, any client can see. It touches
nothing that it did not create, and leaves nothing behind.
"""
