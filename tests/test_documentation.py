"""What the documentation tells a reader to write down can be read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).parents[1] / "docs"
BLOCKS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in sorted(DOCS.glob("*.md"))
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_yaml_of_the_documentation_is_yaml(block: str) -> None:
    """As Kedro reads it: a question mark before a comma is no text without quotes."""
    assert isinstance(yaml.load(block, Loader=yaml.SafeLoader), dict | list)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) > 10


@pytest.mark.parametrize(("tolerance", "status"), [("0.2", 0), ("0.05", 1)])
def test_the_check_of_the_cookbook_fails_where_the_interval_is_above(
    tmp_path: Path, tolerance: str, status: int
) -> None:
    """The script as a reader would copy it, on a summary as a run leaves it."""
    (script,) = re.findall(r"^```python\n(import sys\n.*?)^```", (DOCS / "cookbook.md").read_text(), re.M | re.S)
    (tmp_path / "summary.csv").write_text(
        "method,variant,metric,mean,ci_low,ci_high\nplain,unrepaired,delta_dp,0.1,0.08,0.12\n"
    )
    arguments = [str(tmp_path / "summary.csv"), "unrepaired", "delta_dp", tolerance]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr == ""
    assert "0.080 to 0.120" in done.stdout
