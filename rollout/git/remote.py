"""Where a repository lies, checked before git sees a word of it, and what git's complaints mean.

Options smuggled in as names, `ext::` commands, paths on our own disk and addresses of the node all stop here.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from rollout.api.errors import Retry, Stalled

DEFAULT_PROTOCOLS = frozenset({"https", "ssh"})

_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,200}")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository's address that may be handed to git."""

    url: str
    scheme: str
    origin: str
    """`https://host:port/`: credentials are sent there and nowhere else; empty where there are no headers."""


def parse_url(
    url: str, protocols: frozenset[str] = DEFAULT_PROTOCOLS, *, local_hosts: bool = False
) -> Remote:
    """Check a repository's URL; raises `Stalled(InvalidURL)` naming what to change.

    Loopback and link-local addresses are refused unless `local_hosts`; names are not resolved here.
    """
    if any(ord(letter) < 33 or ord(letter) > 126 for letter in url) or "\\" in url:
        raise _invalid_url("it holds spaces, backslashes or characters outside ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid_url("its host or port can't be read") from None
    if parts.scheme not in protocols or not url.startswith(f"{parts.scheme}://"):
        allowed = ", ".join(f"{protocol}://" for protocol in sorted(protocols))
        raise _invalid_url(
            f"it must begin with one of {allowed} (write ssh://git@host/path for git@host:path)"
        )
    if parts.query or parts.fragment:
        raise _invalid_url("it has a query or a fragment: remove it")
    if len(parts.path.strip("/")) == 0:
        raise _invalid_url("it names no repository")
    if parts.scheme == "file":
        if parts.netloc:
            raise _invalid_url("a file URL has three slashes: file:///path")
        return Remote(url, "file", "")
    _check_host(parts.scheme, parts.username, parts.password, parts.hostname or "", local_hosts=local_hosts)
    with_header = parts.scheme in {"https", "http"}
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    place = f"{host}:{port}" if port is not None else host
    return Remote(url, parts.scheme, f"{parts.scheme}://{place}/" if with_header else "")


def _check_host(scheme: str, user: str | None, password: str | None, host: str, *, local_hosts: bool) -> None:
    if password is not None or (user is not None and scheme != "ssh"):
        raise _invalid_url(
            "it carries a user name or a password: move them to the Secret named by spec.secretRef"
        )
    if user is not None and not _USER.fullmatch(user):
        raise _invalid_url("its user name holds characters that are not allowed")
    if not _HOST.fullmatch(host):
        raise _invalid_url("its host name is not one")
    if not local_hosts and is_local(host):
        raise _invalid_url("it points at this machine or at a link-local address")


def is_local(host: str) -> bool:
    """Whether a host is this machine or link-local, as far as its name tells."""
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # What inet_aton reads as an address but nobody writes: 127.1, 2130706433, 0x7f.1
        return bool(re.fullmatch(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*", host.lower()))
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified)


def check_branch(branch: str) -> str:
    """Return a branch name that is safe inside a refspec; raises `Stalled(InvalidBranch)`."""
    parts = branch.split("/")
    wrong = ".." in branch or any(
        not part or part[0] == "." or part.endswith((".lock", ".")) for part in parts
    )
    if wrong or not _BRANCH.fullmatch(branch) or branch.startswith("refs/"):
        raise Stalled(
            "InvalidBranch", f"spec.ref.branch: {branch[:80]!r} is not a branch name, such as `main`"
        )
    return branch


def check_sha(sha: str) -> str:
    """Return a full commit id; raises `Stalled(InvalidRevision)`."""
    if not _SHA.fullmatch(sha):
        raise Stalled("InvalidRevision", f"{sha[:80]!r} is not a full commit id")
    return sha


def check_path(path: str) -> str:
    """Return a path inside the repository, without a leading or trailing slash; empty is the root.

    Raises `Stalled(InvalidPath)` for a path that leaves the repository.
    """
    if any(ord(letter) < 32 or letter in "\\\x7f" for letter in path) or path.startswith("/"):
        raise Stalled("InvalidPath", f"spec.path: {path[:80]!r} must be relative to the repository's root")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise Stalled("InvalidPath", f"spec.path: {path[:80]!r} may not contain `..`")
    return "/".join(parts)


_COMPLAINTS: tuple[tuple[str, str, str], ...] = (
    # what git or ssh prints (LC_ALL=C), the reason, what to do
    (
        r"Authentication failed|could not read (Username|Password)|Permission denied \(|error: 40[13]",
        "AuthenticationFailed",
        "check the Secret named by spec.secretRef and the rights it gives",
    ),
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "HostKeyRefused",
        "the server's key is not in the Secret's known_hosts: check it, then add the output of ssh-keyscan",
    ),
    (
        r"not appear to be a git repository|[Rr]epository .*not found|error: 404|repository not exported",
        "RepositoryNotFound",
        "check spec.url, and that the credential may read this repository",
    ),
    (
        r"not our ref|unadvertised object",
        "CommitNotFound",
        "the server does not give out this commit: push it, or change spec.ref.commit",
    ),
    (
        (
            r"SSL certificate problem|certificate verification failed|error setting certificate"
            r"|certificate required|TLS fatal alert|unable to set private key|could not load PEM"
        ),
        "CertificateRefused",
        (
            "the Secret's ca.crt must hold the authority of the server's certificate, as PEM, and tls.crt "
            "and tls.key what the server asks of us"
        ),
    ),
    (
        r"transport '.*' not allowed|unable to update url base from redirection|error: 30[12378]",
        "InvalidURL",
        "the server redirects to where we don't follow: write the final address in spec.url",
    ),
    (r"fsck error|fsckObjects", "RepositoryRefused", "the repository holds objects that git fsck refuses"),
    (
        r"File size limit exceeded|died of signal 25|exceeds maximum allowed size|pack exceeds",
        "RepositoryTooLarge",
        "the fetch is larger than the operator allows",
    ),
)


_VARYING = re.compile(r" after \d+ (ms|milliseconds)\b")
"""What would make the same complaint read differently at each poll, and be written each time."""


def explain(complaint: str) -> Retry | Stalled:
    """Turn what git printed on failure into what has to happen; unknown complaints are retried."""
    printable = "".join(letter if letter.isprintable() else " " for letter in complaint)
    said = _VARYING.sub("", " ".join(printable.replace("@@@", "").split()))[:400]
    for pattern, reason, remedy in _COMPLAINTS:
        if re.search(pattern, complaint):
            return Stalled(reason, f"{remedy}; git said: {said}")
    return Retry(f"git said: {said}" if said else "git failed and said nothing")


def _invalid_url(what: str) -> Stalled:
    # The URL itself is not repeated: it may carry a password.
    return Stalled("InvalidURL", f"spec.url can't be used: {what}")
