"""Git is the desired state: a bare mirror, parsed manifests, and the verdict written back as a note.

`mirror` is the way in; under it, `repository` alone starts git (by GitPython) and keeps our environment,
credentials and hooks out of it. `manifests` is the way to objects; it and what it stands on are pure.
Nothing is ever checked out.
"""
