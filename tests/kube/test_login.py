"""Which cluster, and as whom."""

from pathlib import Path

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from rollout.api.errors import Stalled
from rollout.kube import login as door
from rollout.kube.login import login


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but those that a test lays out."""
    for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(door, "_HOME_CONFIG", tmp_path / "home")


def kubeconfig(file: Path, *clusters: str) -> str:
    """A kubeconfig whose contexts are called as their clusters' hosts; the first is current."""
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": each, "cluster": {"server": f"https://{each}"}} for each in clusters],
                "users": [{"name": "me", "user": {"token": "secret"}}],
                "contexts": [{"name": each, "context": {"cluster": each, "user": "me"}} for each in clusters],
                "current-context": clusters[0],
            }
        )
    )
    return str(file)


def in_a_pod(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    for name in ("token", "ca.crt"):
        (directory / name).write_text("inside")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(directory / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(directory / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


async def test_a_file_that_is_named_wins_over_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_a_pod(monkeypatch, tmp_path)
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "a", "by-environment"))
    found = await login(kubeconfig(tmp_path / "b", "by-name"))
    assert found.host == "https://by-name"
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer secret"


async def test_the_environments_file_wins_over_the_pod(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_a_pod(monkeypatch, tmp_path)
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "a", "by-environment"))
    assert (await login()).host == "https://by-environment"


async def test_in_a_pod_its_service_account_is_used_and_its_token_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_a_pod(monkeypatch, tmp_path)
    found = await login()
    assert found.host == "https://10.96.0.1:443"
    assert found.refresh_api_key_hook is not None


async def test_outside_the_home_directory_has_the_last_word(tmp_path: Path) -> None:
    kubeconfig(tmp_path / "home", "at-home")
    assert (await login()).host == "https://at-home"


async def test_a_context_chooses_the_cluster(tmp_path: Path) -> None:
    assert (await login(kubeconfig(tmp_path / "a", "one", "two"), "two")).host == "https://two"


@pytest.mark.parametrize(
    ("text", "context"),
    [
        pytest.param(None, "", id="a file that is not there"),
        pytest.param("", "", id="an empty file"),
        pytest.param("a: [", "", id="a file that is no YAML"),
        pytest.param("- a list", "", id="a file that holds something else"),
        pytest.param("kind: Config", "", id="a file without contexts"),
        pytest.param("valid", "elsewhere", id="a context that is not in it"),
    ],
)
async def test_credentials_that_can_not_be_read_are_told_with_their_place(
    tmp_path: Path, text: str | None, context: str
) -> None:
    file = tmp_path / "config"
    if text == "valid":
        kubeconfig(file, "one")
    elif text is not None:
        file.write_text(text)
    with pytest.raises(Stalled, match=str(file)) as caught:
        await login(str(file), context)
    assert caught.value.reason == "NoCluster"


async def test_without_any_credentials_the_places_that_were_looked_at_are_named() -> None:
    with pytest.raises(Stalled, match="the pod's ServiceAccount and"):
        await login()
