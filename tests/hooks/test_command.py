"""The command that a run's record names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from counterpoise.hooks.command import SLICES, Command


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "kedro run --env=smoke --pipelines=win_adult"),
        ({"from_nodes": ["a.b"], "to_nodes": ["c"]}, " --from-nodes=a.b --to-nodes=c"),
        ({"tags": ("x", "y")}, " --tags=x,y"),
        ({"only_missing_outputs": True}, " --only-missing-outputs"),
        ({"only_missing_outputs": True, "runtime_params": {"reuse": True}}, " --params=reuse=true"),
        ({"runtime_params": {"seeds": 3, "a": {"b": None, "c": "x y"}}}, " '--params=seeds=3,a.b=null,a.c=x y'"),
        ({"runner": "<kedro.runner.thread_runner.ThreadRunner object at 0x1>"}, " --runner=ThreadRunner"),
        ({"load_versions": {"a": "2026"}}, " --load-versions=a:2026"),
        ({"pipeline_names": ["other"]}, "--pipelines=other"),
    ],
)
def test_the_recorded_command_is_the_real_one(given: Mapping[str, Any], words: str) -> None:
    assert str(Command(given, "smoke", ["win_adult"])).endswith(words)


@pytest.mark.parametrize("option", SLICES)
def test_a_slice_is_a_partial_run(option: str) -> None:
    assert Command({option: ["x"]}, "base", ["win_adult"]).partial
    assert not Command({}, "base", ["win_adult"]).partial
