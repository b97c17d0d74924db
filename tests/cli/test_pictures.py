"""`--plot`: pictures that hold what is said of them, and clear errors where they can't be drawn."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from rollout.cli.app import app
from rollout.demo.player import content

SHOP = content() / "shop"
SOME = ("--rps", "600", "--error-rate", "1%", "--runs", "4")


def plot(file: Path, *words: str, shop: Path = SHOP) -> Result:
    return CliRunner().invoke(app, ["simulate", str(shop), *SOME, *words, "--plot", str(file)])


def test_a_picture_names_its_lines_and_both_canaries(tmp_path: Path) -> None:
    done = plot(tmp_path / "shop.svg")
    assert done.exit_code == 0, done.output
    root = ElementTree.parse(tmp_path / "shop.svg").getroot()
    texts = {"".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"shop at 600 requests/s", "A canary like stable", "A canary with errors 3 %"} <= texts
    assert {"100: roll back", "20: the step may pass", "unacceptable: × 3", "tolerated: × 1.07"} <= texts
    assert any(re.fullmatch(r"4 rollouts: 4 promoted", text) for text in texts)
    assert any(re.match(r"4 rollouts: 4 rolled back", text) for text in texts)


def test_the_same_seed_draws_the_same_picture(tmp_path: Path) -> None:
    for name in ("first.svg", "again.svg"):
        assert plot(tmp_path / name).exit_code == 0
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    assert plot(tmp_path / "other.svg", "--seed", "2").exit_code == 0
    assert (tmp_path / "first.svg").read_bytes() != (tmp_path / "other.svg").read_bytes()


def test_a_png_is_one(tmp_path: Path) -> None:
    assert plot(tmp_path / "shop.png").exit_code == 0
    assert (tmp_path / "shop.png").read_bytes().startswith(b"\x89PNG")


def test_a_stable_without_errors_has_no_ratio_to_draw_margins_at(tmp_path: Path) -> None:
    done = plot(tmp_path / "shop.svg", "--error-rate", "0%")
    assert done.exit_code == 0, done.output
    assert "tolerated" not in (tmp_path / "shop.svg").read_text()


@pytest.mark.parametrize("name", ["shop.pdf", "shop", "absent/shop.svg"])
def test_a_file_that_can_not_be_drawn_is_wrong_usage(name: str, tmp_path: Path) -> None:
    done = plot(tmp_path / name)
    assert done.exit_code == 2
    assert "--plot" in done.stderr


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = plot(tmp_path / "shop.svg")
    assert done.exit_code == 2
    assert "pip install 'rollout[plot]'" in done.stderr
    assert CliRunner().invoke(app, ["simulate", str(SHOP), *SOME]).exit_code == 0


def test_one_picture_is_of_one_rollout(tmp_path: Path) -> None:
    for file in SHOP.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    twin = (SHOP / "rollout.yaml").read_text().replace("name: shop\n", "name: twin\n", 1)
    (tmp_path / "twin.yaml").write_text(twin)
    done = plot(tmp_path / "shop.svg", shop=tmp_path)
    assert done.exit_code == 2
    assert "draws one Rollout" in done.stderr
