"""Who we are to a Git server: the data of a Secret as a value."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rollout.api.errors import Stalled

_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Credential:
    """At most one way to authenticate, the server's certificate authority, and a certificate of our own;
    never printed.
    """

    authorization: str = field(default="", repr=False)
    """Value of the HTTP header, e.g. `Bearer abc`."""
    identity: bytes = field(default=b"", repr=False)
    """An OpenSSH private key without a passphrase."""
    known_hosts: bytes = field(default=b"", repr=False)
    ca: bytes = field(default=b"", repr=False)
    """PEM certificates to trust instead of the system's."""
    certificate: bytes = field(default=b"", repr=False)
    """Our own PEM certificate, and its private key without a passphrase."""
    key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise _invalid("`tls.crt` and `tls.key` go together: add the other one")
        if self.identity and not self.known_hosts:
            raise _invalid(
                "`identity` needs `known_hosts`: add the output of `ssh-keyscan <host>`, checked by hand"
            )

    @classmethod
    def from_secret(cls, data: Mapping[str, bytes]) -> "Credential":
        """Read a Secret's decoded data.

        One of `token`, `username` and `password`, `bearerToken`, `identity` and `known_hosts`; and `ca.crt`,
        `tls.crt` and `tls.key`.
        Raises `Stalled(InvalidCredential)`, which names keys and never values.
        """
        ways = [key for key in ("token", "password", "bearerToken", "identity") if key in data]
        if "identity" in ways and "password" in ways:
            raise _invalid("a passphrase for `identity` is not supported: use a deploy key without one")
        if len(ways) > 1:
            raise _invalid(f"{_names(ways)} are given together: keep one")
        if not ways and not {"ca.crt", "tls.crt", "tls.key"} & data.keys():
            raise _invalid("it has none of `token`, `username` and `password`, `bearerToken`, `identity`")
        authorization = _authorization(ways[0], data) if ways and ways[0] != "identity" else ""
        identity = data.get("identity", b"")
        if "identity" in ways and b"PRIVATE KEY" not in identity:
            raise _invalid("`identity` is not a private key in PEM or OpenSSH format")
        certificate, key = (data.get(name, b"") for name in ("tls.crt", "tls.key"))
        if b"ENCRYPTED" in key:
            raise _invalid("a passphrase for `tls.key` is not supported: use a key without one")
        known_hosts, ca = data.get("known_hosts", b""), data.get("ca.crt", b"")
        return cls(authorization, identity, known_hosts, ca, certificate, key)


def _authorization(way: str, data: Mapping[str, bytes]) -> str:
    secret = _text(way, data)
    if way == "bearerToken":
        if not _VISIBLE.fullmatch(secret):
            raise _invalid("`bearerToken` holds spaces or characters that no header may hold")
        return f"Bearer {secret}"
    if way == "password" and "username" not in data:
        raise _invalid("`password` needs `username`")
    # Every known host takes any user name with a token; "git" is the one none forbids.
    username = _text("username", data) if "username" in data else "git"
    if ":" in username:
        raise _invalid("`username` may not hold a colon")
    return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()


def _text(key: str, data: Mapping[str, bytes]) -> str:
    """Decode one value; the newline that editors and `kubectl create secret --from-file` leave is dropped."""
    try:
        text = data[key].decode().strip("\r\n")
    except UnicodeDecodeError:
        raise _invalid(f"`{key}` is not UTF-8 text") from None
    if not text or any(ord(letter) < 32 for letter in text):
        raise _invalid(f"`{key}` is empty or holds control characters")
    return text


def _names(keys: list[str]) -> str:
    return " and ".join(f"`{key}`" for key in keys)


def _invalid(what: str) -> Stalled:
    return Stalled("InvalidCredential", f"the Secret can't be used for Git: {what}")
