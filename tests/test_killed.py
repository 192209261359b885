"""A run that is killed leaves nothing that misleads the next one."""

from __future__ import annotations

import time
from typing import Any


def test_killed_while_heads_train_then_run_gives_the_same_files(smoke: Any, project: Any) -> None:
    running = project.start("run", "--env=smoke", "--params=tracking=false,finetune.epochs=5000")
    deadline = time.monotonic() + 120
    while not list(project.data.glob("06_models/*/head_bank.safetensors")):
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.kill()
    running.communicate()
    assert not list(project.data.glob("07_model_output/*/predictions.parquet")), "killed too late to show anything"
    assert not list(project.data.glob("08_reporting/*/summary.csv"))

    project.run()
    for name in ("08_reporting/win_adult/summary.csv", "07_model_output/win_adult/predictions.parquet"):
        assert (project.data / name).read_bytes() == (smoke.data / name).read_bytes(), name
    assert project.leftovers() == []
