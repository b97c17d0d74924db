"""Whose signatures count: the public keys of a Secret, as files that git's verification reads. Pure."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rollout.api.errors import Stalled

_ARMOR = re.compile(r"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
_SSH = re.compile(r"(?P<type>(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+) (?P<key>[A-Za-z0-9+/]+=*)( .*)?")


@dataclass(frozen=True, slots=True)
class Signers:
    """Public keys; whoever holds one of the private keys is trusted."""

    ssh: tuple[str, ...] = ()
    """`ssh-ed25519 AAAA...`, without options and comments."""
    gpg: bytes = b""
    """OpenPGP packets, one key after another, which is what a keyring is."""

    @classmethod
    def from_secret(cls, data: Mapping[str, bytes]) -> "Signers":
        """Read a Secret's decoded data: `*.asc` for GPG, `*.sshpub` for SSH.

        Raises `Stalled(InvalidSigners)`, which names keys of the Secret.
        """
        ssh = tuple(
            line for name in sorted(data) if name.endswith(".sshpub") for line in _ssh(name, data[name])
        )
        gpg = b"".join(_packets(name, data[name]) for name in sorted(data) if name.endswith(".asc"))
        if not ssh and not gpg:
            raise _invalid("it has no key that ends in `.asc` (GPG) or `.sshpub` (SSH)")
        return cls(ssh, gpg)

    @property
    def allowed(self) -> str:
        """The file that ssh-keygen reads: any of the keys, for commits alone."""
        return "".join(f'* namespaces="git" {key}\n' for key in self.ssh)


def _ssh(name: str, content: bytes) -> Iterator[str]:
    for line in content.decode(errors="replace").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = _SSH.fullmatch(text)
        if found is None:
            raise _invalid(f"`{name}` holds a line that is no public SSH key, such as `ssh-ed25519 AAAA...`")
        yield f"{found['type']} {found['key']}"


def _packets(name: str, content: bytes) -> bytes:
    blocks = _ARMOR.findall(content.decode(errors="replace").replace("\r\n", "\n"))
    if not blocks:
        raise _invalid(f"`{name}` holds no public key: export it by `gpg --armor --export`")
    try:
        return b"".join(_dearmored(block) for block in blocks)
    except (binascii.Error, ValueError):
        raise _invalid(f"`{name}` is damaged: export it again by `gpg --armor --export`") from None


def _dearmored(block: str) -> bytes:
    """The packets of an armored block: what follows its headers, without the checksum."""
    _, _, body = f"\n{block.lstrip(chr(10))}".partition("\n\n") if ":" in block else ("", "", block)
    lines = [line.strip() for line in body.splitlines() if not line.startswith("=")]
    return base64.b64decode("".join(lines), validate=True)


def _invalid(what: str) -> Stalled:
    return Stalled("InvalidSigners", f"spec.verify.secretRef: the Secret can't be used: {what}")
