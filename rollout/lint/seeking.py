"""Objects by kind and name in a set of manifests."""

from collections.abc import Sequence

from rollout.api.base import Manifest
from rollout.lint.alone import KINDS, is_kind, misshapen, namespace
from rollout.lint.findings import Document


def find(known: Sequence[Document], kind: str, name: str, where: str | None) -> Manifest | None:
    """The object of that name; one without a namespace fits any, as it goes where it is applied."""
    for document in known:
        body = document.body
        place = namespace(body)
        near = not where or not place or place == where
        readable = kind in KINDS or not [*misshapen(body)]
        if near and body["metadata"]["name"] == name and is_kind(body, kind) and readable:
            return body
    return None
