from datetime import timedelta

import api_manifests as manifests
import pytest
from api_manifests import changed

from rollout.api.errors import InvalidSpec
from rollout.api.gitsource import parse_git_source
from rollout.api.writeback import WriteBackMode


def image(**update: str) -> dict[str, object]:
    update = {"path": "rollout.yaml", "field": "spec.image", **update}
    return {"image": "ghcr.io/shop/web", "policy": {"semver": "1.x"}, "update": update}


def test_a_source_needs_only_its_url() -> None:
    body = manifests.git_source() | {"spec": {"url": "ssh://git@git.example.com/shop.git"}}
    spec = parse_git_source(body).spec
    assert (spec.ref.branch, spec.path, spec.interval, spec.secret_ref) == (
        None,
        "",
        timedelta(minutes=1),
        None,
    )
    assert spec.write_back.modes == (WriteBackMode.NOTES,)


def test_nothing_is_written_back_where_nothing_is_asked_for() -> None:
    body = changed(manifests.git_source(), "spec.writeBack", {"modes": []})
    assert parse_git_source(body).spec.write_back.modes == ()


@pytest.mark.parametrize(
    ("path", "value", "where", "says"),
    [
        pytest.param(
            "spec.url",
            "https://me:secret@git.example.com/a.git",
            "spec.url",
            "must not hold a password: put it into the Secret that secretRef names",
            id="a password in the URL",
        ),
        pytest.param(
            "spec.url",
            "ext::sh -c id",
            "spec.url",
            "must match pattern '^(https?|ssh|git|file)://[^ ]+$'",
            id="a transport that runs commands",
        ),
        pytest.param("spec.url", None, "spec.url", "is required", id="no URL"),
        pytest.param(
            "spec.path",
            "../other",
            "spec.path",
            "must lie inside the repository: no leading / and no ..",
            id="a path that leads out",
        ),
        pytest.param(
            "spec.path",
            "/etc",
            "spec.path",
            "must lie inside the repository: no leading / and no ..",
            id="a path of the machine",
        ),
        pytest.param(
            "spec.ref.branch",
            "-c",
            "spec.ref.branch",
            "must match pattern '^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$'",
            id="an option for a branch",
        ),
        pytest.param(
            "spec.interval", "100ms", "spec.interval", "must be at least 1s", id="a poll ten times a second"
        ),
        pytest.param(
            "spec.timeout",
            "11m",
            "spec.timeout",
            "must be at most 10m: others wait for their turn meanwhile",
            id="a timeout that is none",
        ),
        pytest.param(
            "spec.writeBack",
            {"modes": ["commitStatus"]},
            "spec.writeBack.provider",
            "commitStatus needs it",
            id="a status without a host's API",
        ),
        pytest.param(
            "spec.writeBack",
            {"modes": ["revertBranch", "revertCommit"]},
            "spec.writeBack.modes",
            "two ways to revert exclude each other",
            id="two ways to revert",
        ),
        pytest.param(
            "spec",
            {
                "url": "ssh://git.example.com/a.git",
                "ref": {"tag": "v1"},
                "writeBack": {"modes": ["revertCommit"]},
            },
            "spec.writeBack.modes",
            "revertCommit needs a branch to write on",
            id="a revert where there is no branch",
        ),
        pytest.param(
            "spec.images",
            [image(mode="branch", branch="main")],
            "spec.images[0].update.branch",
            "is the branch that is followed",
            id="tags proposed on the branch itself",
        ),
        pytest.param(
            "spec.images",
            [image(branch="tags")],
            "spec.images[0].update.branch",
            "is for the mode branch alone",
            id="a branch for tags that are pushed",
        ),
        pytest.param("spec.branch", "main", "spec.branch", "unknown field", id="a branch in the wrong place"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(path: str, value: object, where: str, says: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_git_source(changed(manifests.git_source(), path, value))
    assert {problem.path: problem.message for problem in caught.value.problems} == {where: says}
