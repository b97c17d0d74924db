"""Registries of images: which tags there are, and which of them a policy chooses.

`names` and `choosing` are pure; `door` asks a registry by the Docker Registry HTTP API V2, which those of OCI
speak too. It only reads.
"""
