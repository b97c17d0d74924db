"""Names of images as people write them, and where they are: `shop`, `ghcr.io/team/shop:v1@sha256:...`."""

import re
from dataclasses import dataclass

from rollout.api.errors import Stalled

_HUB = "docker.io"
_HUB_SERVER = "registry-1.docker.io"
_NAME = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9a-fA-F:]+\](:\d{1,5})?")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Name:
    """An image without its tag."""

    host: str
    repository: str

    @property
    def server(self) -> str:
        """Who is asked."""
        return _HUB_SERVER if self.host == _HUB else self.host


def parse_name(text: str) -> Name:
    """The place of an image; raises `Stalled(InvalidSpec)`."""
    head, _, rest = text.partition("/")
    named = bool(rest) and ("." in head or ":" in head or head == "localhost")
    host, repository = (head, rest) if named else (_HUB, text)
    if host in (_HUB, "index.docker.io"):
        host, repository = _HUB, repository if "/" in repository else f"library/{repository}"
    if not _HOST.fullmatch(host) or not _NAME.fullmatch(repository):
        raise Stalled("InvalidSpec", f"spec.images.image: {text[:100]!r} names no image, without its tag")
    return Name(host, repository)


def split(text: str) -> tuple[str, str]:
    """(name, tag) of `shop:v1`, a digest left out; the tag is empty where there is none."""
    whole = text.partition("@")[0]
    name, _, tag = whole.rpartition(":")
    return (name, tag) if name and "/" not in tag else (whole, "")
