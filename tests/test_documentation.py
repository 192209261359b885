"""What the documentation tells a reader to write down can be read."""

from __future__ import annotations

import re
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
