"""Which kubeconfigs of tenants are used, and which would do more than name an address and a credential."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from rollout.api.errors import Stalled
from rollout.kube.kubeconfig import configured


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def config(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> dict[str, Any]:
    there = {"server": "https://api.example.com:6443", **(cluster or {})}
    return {
        "clusters": [{"name": "c", "cluster": there}],
        "users": [{"name": "u", "user": {"token": "hush"} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


EVERY: Callable[[str], bool] = lambda _host: True  # noqa: E731


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        pytest.param(
            config(user={"exec": {"command": "sh"}}), "'exec': it would run a program", id="a program"
        ),
        pytest.param(config(user={"auth-provider": {}}), "'auth-provider'", id="code of a provider"),
        pytest.param(
            config(user={"tokenFile": "/var/run/t"}), "'tokenFile': it would read a file", id="a file"
        ),
        pytest.param(config(user={"token": "hush", "client-key": "/k"}), "'client-key'", id="a key's file"),
        pytest.param(config({"certificate-authority": "/ca"}), "'certificate-authority'", id="a CA's file"),
        pytest.param(
            config({"insecure-skip-tls-verify": True}), "anybody could answer", id="no TLS to speak of"
        ),
        pytest.param(config({"proxy-url": "http://evil"}), "'proxy-url'", id="a proxy"),
        pytest.param(
            config(user={"token": "hush", "as": "root"}), "'as': the GitSource's", id="another user"
        ),
        pytest.param(config({"server": "http://api.example.com"}), "no https:// address", id="no TLS at all"),
        pytest.param(config({"server": "https://me:pw@api"}), "no https:// address", id="a password in it"),
        pytest.param(config(user={}), "neither token nor", id="nobody"),
        pytest.param(config({"certificate-authority-data": "!"}), "is not base64", id="no base64"),
        pytest.param({**config(), "current-context": "y"}, "no context by the name", id="no context"),
        pytest.param([1], "no mapping", id="a list"),
        pytest.param(None, "no mapping", id="nothing"),
    ],
)
def test_what_could_harm_or_can_not_work_is_named_and_no_value_of_it(given: Any, complaint: str) -> None:
    with pytest.raises(Stalled, match=complaint) as refusal, configured(given, EVERY):
        pass
    assert refusal.value.reason == "InvalidKubeConfig"
    assert "hush" not in str(refusal.value)


def test_a_server_on_this_machine_is_refused_where_that_is_not_allowed() -> None:
    local = config({"server": "https://169.254.169.254"})
    with pytest.raises(Stalled, match="link-local"), configured(local, lambda host: host[0] != "1"):
        pass


def test_a_token_goes_to_the_server_and_its_authority_stays_in_memory() -> None:
    authority = trustme.CA().cert_pem.bytes()
    with configured(config({"certificate-authority-data": coded(authority)}), EVERY) as found:
        assert found.host == "https://api.example.com:6443"
        assert found.api_key == {"BearerToken": "Bearer hush"}
        assert found.ca_cert_data == authority.decode()
        assert (found.ssl_ca_cert, found.cert_file, found.verify_ssl) == (None, None, True)


def test_a_client_certificate_lies_in_files_of_ours_only_until_the_connection_is_made() -> None:
    user = {"client-certificate-data": coded(b"CERT"), "client-key-data": coded(b"KEY")}
    with configured(config(user=user), EVERY) as found:
        files = [Path(str(each)) for each in (found.cert_file, found.key_file)]
        assert [each.read_bytes() for each in files] == [b"CERT", b"KEY"]
        assert [oct(each.stat().st_mode & 0o777) for each in files] == ["0o600", "0o600"]
    assert [each.exists() for each in files] == [False, False]
