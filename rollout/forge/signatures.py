"""Whether a webhook was sent by somebody who knows the secret; each host has its own header. Pure.

GitHub and Bitbucket: `sha256=` and the HMAC of the body; Gitea and Forgejo: the HMAC alone; GitLab: the
secret itself; whoever else: `X-Signature`, with `sha256=` or without.
"""

import hashlib
import hmac
from collections.abc import Mapping

_HMAC = ("X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature", "X-Hub-Signature", "X-Signature")
_PLAIN = "X-Gitlab-Token"


def claims(headers: Mapping[str, str]) -> bool:
    """Whether there is anything to check; without, the body need not be read."""
    return any(headers.get(name) for name in (*_HMAC, _PLAIN))


def holds(headers: Mapping[str, str], body: bytes, secret: bytes) -> bool:
    """Whether one of the headers proves that its sender knows the secret; in constant time."""
    if not secret:
        return False
    if given := headers.get(_PLAIN):
        return hmac.compare_digest(given.encode(errors="surrogateescape"), secret)
    wanted = hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    given = next((headers[name] for name in _HMAC if headers.get(name)), "")
    told = given.removeprefix("sha256=").lower().encode(errors="surrogateescape")
    return hmac.compare_digest(told, wanted)
