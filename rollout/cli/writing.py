"""Objects as JSON or YAML on stdout."""

import json
import sys
from typing import Any

import yaml

from rollout.cli.options import Output


def write(found: Any, output: Output) -> None:
    """Write it in the form that was asked for."""
    if output is Output.JSON:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        yaml.safe_dump(found, sys.stdout, sort_keys=False, allow_unicode=True)
