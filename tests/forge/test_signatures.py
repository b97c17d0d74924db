"""A webhook is heeded only from who knows the secret."""

import hashlib
import hmac

import pytest

from rollout.forge.signatures import claims, holds

SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
DOCUMENTED = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""GitHub publishes this one for its secret and body, to try an implementation on."""


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"X-Hub-Signature-256": f"sha256={DOCUMENTED}"}, id="GitHub"),
        pytest.param({"X-Gitea-Signature": DOCUMENTED}, id="Gitea"),
        pytest.param({"X-Forgejo-Signature": DOCUMENTED}, id="Forgejo"),
        pytest.param({"X-Hub-Signature": f"sha256={DOCUMENTED}"}, id="Bitbucket"),
        pytest.param({"X-Signature": f"sha256={DOCUMENTED.upper()}"}, id="whoever else"),
        pytest.param({"X-Gitlab-Token": SECRET.decode()}, id="GitLab"),
    ],
)
def test_each_host_proves_it_in_its_own_way(headers: dict[str, str]) -> None:
    assert claims(headers)
    assert holds(headers, BODY, SECRET)
    assert not holds(headers, BODY, b"")
    assert not holds(headers, BODY, b"another")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"X-Hub-Signature-256": ""}, id="an empty header"),
        pytest.param({"X-Hub-Signature-256": "sha256="}, id="an empty signature"),
        pytest.param(
            {"X-Hub-Signature": "sha1=" + hmac.new(SECRET, BODY, hashlib.sha1).hexdigest()}, id="SHA-1"
        ),
        pytest.param({"X-Gitlab-Token": DOCUMENTED}, id="a signature as a token"),
        pytest.param({"X-Signature": "\udcff"}, id="bytes that are no text"),
        pytest.param({"X-Hub-Signature-256": f"sha256={DOCUMENTED[:-1]}"}, id="cut short"),
    ],
)
def test_all_else_is_refused(headers: dict[str, str]) -> None:
    assert not holds(headers, BODY, SECRET)


def test_another_body_is_refused() -> None:
    assert not holds({"X-Hub-Signature-256": f"sha256={DOCUMENTED}"}, BODY + b" ", SECRET)
