"""What is checked and recorded before the first node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from counterpoise.preflight import git_commit


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
