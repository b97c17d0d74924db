"""Git is the desired state: a bare mirror, parsed manifests, and the verdict written back as a note.

Only `repository` starts git; `manifests` is pure.
"""
