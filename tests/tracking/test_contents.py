"""What a run says in MLflow: names, keys and numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from counterpoise.config.evidence import Claim
from counterpoise.hooks.session import headline_variants
from counterpoise.tracking.contents import Results, allowed, description, method_metrics, parent_metrics, run_name

LINEAGE = {"command": "kedro run", "git_commit": "abc", "environment": "smoke", "seeds": [0, 1]}
RUN = {"experiment": "win_adult", "title": "Fairer?", "settings": {}, "lineage": LINEAGE}

METRICS = pd.DataFrame(
    [
        {"method": method, "variant": variant, "rank": rank, "seed": seed, "metric": "err", "value": rank + 2.0 * seed}
        for method, variant, rank in (("tl", "tl", 0), ("win", "win_r1", 1), ("win", "win_r2", 2))
        for seed in (0, 1)
    ]
)
RESULTS = Results(METRICS, headline={"win": "win_r2"}, subject="win_r2", leading=["err"], answer="Yes.")


def test_one_key_per_metric_for_all_methods() -> None:
    keys = {method: {key for key, *_ in method_metrics(RESULTS, method, 0)} for method in ("tl", "win")}
    assert keys["tl"] == {"err", "err_mean", "err_std"}
    assert keys["win"] == keys["tl"] | {f"{variant}/{key}" for variant in ("win_r1", "win_r2") for key in keys["tl"]}
    plain = [(value, step) for key, value, _, step in method_metrics(RESULTS, "win", 0) if key == "err"]
    assert plain == [(2.0, 0), (4.0, 1)]


def test_the_parent_has_the_headline_metrics_of_each_method_and_of_its_subject() -> None:
    logged = {key: value for key, value, *_ in parent_metrics(RESULTS, 0)}
    assert logged["err_mean"] == logged["win/err_mean"] == 3.0
    assert logged["tl/err_mean"] == 1.0
    assert set(logged) == {f"{owner}err_{kind}" for owner in ("", "tl/", "win/") for kind in ("mean", "std")}


def test_the_first_claim_decides_which_variant_stands_for_a_method() -> None:
    claim = Claim(claim="c", metric="err", left={"method": "win", "rank": 2}, right={"method": "tl"}, claimed="lower")
    assert headline_variants(METRICS, [claim]) == ("win_r2", {"win": "win_r2", "tl": "tl"})
    assert headline_variants(METRICS, []) == (None, {"win": "win_r1", "tl": "tl"})


def test_the_description_has_the_question_the_answer_the_numbers_and_the_command() -> None:
    said = description([RUN], [RESULTS])
    for part in ("## Fairer?", "Yes.", "| win (win_r2) | 3 ± 1.4 |", "kedro run", "Seeds: 2", "smoke"):
        assert part in said
    assert "partial" not in said
    partial = RUN | {"lineage": LINEAGE | {"partial": True, "commands": {"finetune": "kedro run --from-nodes=x"}}}
    assert "A partial run" in description([partial])
    assert "--from-nodes=x" in description([partial])


@pytest.mark.parametrize(
    ("command", "partial", "name"),
    [
        ("kedro run -e smoke", False, "win_adult"),
        ('kedro run --params "seeds=3,finetune.epochs=5"', False, "win_adult (seeds=3, finetune.epochs=5)"),
        ('kedro run --params="tracking=True"', False, "win_adult"),
        ("kedro run", True, "win_adult (partial)"),
        ('kedro run --params "unclosed', False, "win_adult"),
    ],
)
def test_the_name_says_what_is_special(command: str, partial: bool, name: str) -> None:
    run = RUN | {"lineage": LINEAGE | {"command": command, "partial": partial}}
    assert run_name("win_adult", [run]) == name


@pytest.mark.parametrize("key", ["99.5%", "a//b", "../x", "/x", "x/", "γ=1 (a|b)", "k" * 900])
def test_any_name_becomes_one_that_mlflow_takes(key: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(allowed(key))
