"""Git is the desired state: a bare mirror, parsed manifests, and the verdict written back as a note.

`repository` alone starts git (by GitPython) and keeps our environment, credentials and hooks out of it;
`mirror` asks the questions; `manifests`, `documents`, `tree`, `notes`, `remote` and `credential` are pure.
Nothing is ever checked out.
"""
