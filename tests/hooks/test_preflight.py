"""What is checked and recorded before the first node."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from counterpoise.config.experiments import rows
from counterpoise.config.parameters import check
from counterpoise.config.parts import merged, with_parts
from counterpoise.errors import InputError
from counterpoise.hooks.preflight import check_experiment, git_commit
from counterpoise.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

REPOSITORY = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    run = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return run.stdout.strip()


def test_the_commit_and_whether_it_is_all(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "file").write_text("first")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "tag", "v1")
    assert git_commit(tmp_path) == commit
    (tmp_path / "file").write_text("second")
    assert git_commit(tmp_path) == f"{commit} with uncommitted changes"


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) == "unknown: not a git checkout"


OWN = {"title": "mine", "dataset": "adult", "frontier": "own"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"experiments": {"mine": OWN | {"dataset": "celeba"}}},
            r"datasets\.celeba is of images, which mine has no base",
        ),
        (
            {"experiments": {"mine": OWN | {"backbone": "probe"}}},
            r"datasets\.adult is a table, which mine has no base for",
        ),
        (
            {"experiments": {"mine": OWN | {"dataset": "adlt"}}},
            r"datasets has no block 'adlt', which mine reads \(did you",
        ),
        ({"experiments": {"mine": OWN | {"peers": "none"}}}, r"peer_sets has no block 'none', which mine reads"),
        (
            {
                "experiments": {"mine": OWN},
                "datasets": {"adult": {"positive": None, "classes": ["a", "b", "c"]}},
                "selection": {"criterion": "auc"},
            },
            r"selection\.criterion is 'auc', but datasets\.adult has 3 classes, expected a criterion",
        ),
    ],
)
def test_what_a_row_of_conf_combines_has_to_fit(given: dict[str, Any], message: str) -> None:
    smoke = CONFIG_LOADER_CLASS(str(REPOSITORY / "conf"), env="smoke", **CONFIG_LOADER_ARGS)["parameters"]
    parameters = with_parts(merged(smoke, given))
    (row,) = rows(parameters)
    with pytest.raises(InputError, match=message):
        check_experiment(check(parameters), row)
