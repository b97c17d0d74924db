"""What `docs/operations.md` lists is what there is."""

import re
from dataclasses import fields
from pathlib import Path

from rollout.execute import executor
from rollout.plan import announcements, drift, intents, leaving
from rollout.settings import PREFIX, Settings
from rollout.telemetry import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ANNOUNCED = "".join(Path(str(each.__file__)).read_text() for each in (announcements, drift, leaving))
RECORDED = "".join(path.read_text() for path in Path(executor.__file__).parent.glob("*.py"))


def first_cells(after: str, before: str) -> set[str]:
    """The names in the first column of the tables between two headings."""
    part = PAGE.partition(after)[2].partition(before)[0]
    cells = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_setting_is_listed_and_no_other() -> None:
    assert first_cells("## Run", "## Health") == {PREFIX + field.name.upper() for field in fields(Settings)}


def test_every_metric_is_listed_and_no_other() -> None:
    served = re.findall(r"^# TYPE (\w+) (\w+)$", Metrics().text().decode(), re.MULTILINE)
    names = {name for name, kind in served if not name.endswith("_created")}
    assert first_cells("## Metrics", "## Events") == names


def test_every_event_of_a_rollout_is_listed_and_no_other() -> None:
    reasons = set(re.findall(r'"((?:[A-Z][a-z]+){2,})"', ANNOUNCED))
    reasons |= set(intents._EVENTS.values())
    reasons |= {"Promoting", "AnalysisBlindOver", "TrafficMisroutedOver", "InvalidSpecOver", "FieldsPruned"}
    reasons |= set(re.findall(r'"(StatusReduced|StatusRefused|CRDOutdated)"', RECORDED))
    assert first_cells("### Rollout", "### GitSource") == reasons
