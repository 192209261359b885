"""Addresses of tracking servers, and the settings that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterpoise.errors import InputError
from counterpoise.tracking import SQLITE, TrackingSettings

CONFIGURATION = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "trial", "timeout_seconds": 1}


class TestSettings:
    def test_a_relative_database_is_in_the_project(self, tmp_path: Path) -> None:
        settings = TrackingSettings.read(CONFIGURATION, tmp_path)
        assert settings.uri == f"{SQLITE}{tmp_path}/mlflow.db"
        assert settings.artifacts == f"file://{tmp_path}/mlruns"

    def test_the_environment_variable_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
        settings = TrackingSettings.read(CONFIGURATION, tmp_path)
        assert (settings.uri, settings.artifacts) == ("https://mlflow.example.org", None)

    def test_unknown_keys(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"conf/mlflow.yml has the keys .*uri.*, expected experiment, timeout_"):
            TrackingSettings.read({**CONFIGURATION, "uri": "x"}, tmp_path)
