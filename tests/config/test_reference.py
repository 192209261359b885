"""The reference of all keys is complete, and the page in docs/ is what the classes say."""

from __future__ import annotations

from pathlib import Path

import yaml

from counterpoise.config import reference

REPOSITORY = Path(__file__).parents[2]


def test_every_key_has_a_meaning() -> None:
    without = [f"{block.path}.{key.name}" for block in reference.blocks() for key in block.keys if not key.meaning]
    assert without == []


def test_the_page_is_up_to_date() -> None:
    assert (REPOSITORY / "docs/reference.md").read_text() == reference.page(), (
        "python -m counterpoise.config.reference > docs/reference.md"
    )


def test_every_key_of_base_is_there() -> None:
    """Walk conf/base by the page's own paths: what a file says is a key of the block that stands for its place."""
    by_path: dict[str, set[str]] = {}
    for block in reference.blocks():
        by_path.setdefault(block.path.split(" (")[0], set()).update(key.name for key in block.keys)
    settings: dict[str, object] = {}
    for file in sorted((REPOSITORY / "conf/base").glob("parameters*.yml")):
        settings |= yaml.safe_load(file.read_text())
    assert set(settings) <= by_path[""]
    for kind in ("datasets", "networks", "frontiers", "peer_sets", "objectives"):
        for name, values in settings[kind].items():  # type: ignore[attr-defined]
            keys = by_path[f"{kind}.<name>"] or by_path["peers"]
            assert set(values) - {"<<"} <= keys, (kind, name)


def test_a_class_that_occurs_twice_is_described_once() -> None:
    paths = [block.path for block in reference.blocks()]
    assert len(paths) == len(set(paths))
    (again,) = (block for block in reference.blocks() if block.path == "finetune")
    assert again.keys == ()
    assert again.summary == "As `pretrain`."


def test_bounds_and_choices_are_said() -> None:
    keys = {(block.path, key.name): key for block in reference.blocks() for key in block.keys}
    assert keys["selection", "certify"].takes == "a number > 0 and < 1 or null"
    assert keys["networks.<name>", "layers"].takes == "a whole number ≥ 2 and ≤ 1,000"
    assert keys["selection", "validation"].takes == "`auto`, `own`, `pooled`"
    assert keys["networks.<name>", "layers"].default is None
    assert keys["selection", "tolerance"].default == "0.05"
