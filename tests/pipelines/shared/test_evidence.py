"""What the second paper's experiments are held against fits what they run, and the paper's tables, to the cell."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from counterpoise.catalogue import BY_NAME
from counterpoise.config.parameters import Evidence
from counterpoise.experiments import EXPERIMENTS, Experiment
from counterpoise.fairness import METRICS
from counterpoise.pipelines.shared.evidence import applicable
from counterpoise.reporting import claims, published, tables
from counterpoise.reporting.wording import join_part, split_part

TABLES = {
    "alter_adult": "T4",
    "alter_compas": "T5",
    "alter_cifar10s": "T1",
    "alter_cifar10s_skew": "T2",
    "alter_celeba": "T3",
    "teacher_prune_cifar10s": "T6",
}
ALTERING = [experiment for experiment in EXPERIMENTS if experiment.name in TABLES]
BLOCKS = yaml.safe_load((Path(__file__).parents[3] / "conf" / "base" / "parameters_evidence.yml").read_text())[
    "evidence"
]


@pytest.fixture(params=ALTERING, ids=lambda experiment: experiment.name)
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return request.param


@pytest.fixture
def evidence(experiment: Experiment) -> Evidence:
    return Evidence.model_validate(BLOCKS[experiment.evidence])


def named(evidence: Evidence) -> set[str]:
    sides = (side["variant"] for claim in evidence.claims for side in (claim.left, claim.right))
    return {*sides, *(row.variant for row in evidence.published)}


def test_every_variant_is_a_known_method_of_a_part(experiment: Experiment, evidence: Evidence) -> None:
    found = [split_part(variant) for variant in named(evidence)]
    assert {part for part, _ in found} == ({part.name for part in experiment.parts} or {""})
    assert {name for _, name in found} <= set(BY_NAME)


def test_claims_can_be_tested_and_told_apart(evidence: Evidence) -> None:
    """On frames that hold all the variants and metrics, no claim is dropped, refused or written twice."""
    metrics = {"accuracy", "balanced_accuracy", *(claim.metric for claim in evidence.claims)}
    assert metrics <= set(METRICS)
    cells = product(sorted(named(evidence)), range(3), sorted(metrics))
    rows = [(split_part(variant)[1], variant, seed, "test", metric, 0.5 + seed) for variant, seed, metric in cells]
    frame = pd.DataFrame(rows, columns=list(tables.METRICS_KEYS))
    run: dict[str, Any] = {variant: {"method": split_part(variant)[1]} for variant in named(evidence)}
    assert applicable(evidence, run) == evidence
    specs = [claim.model_dump() for claim in evidence.claims]
    assert (claims.evaluate(frame, specs)["verdict"] == "not distinguishable").all()
    assert len({claim.claim for claim in evidence.claims}) == len(specs)
    assert all(claim.left != claim.right for claim in evidence.claims)


def test_every_cell_of_the_papers_table_stands_beside_something(experiment: Experiment, evidence: Evidence) -> None:
    printed = published.printed([row.model_dump(exclude_none=True) for row in evidence.published])
    rows = published.load()
    table = rows[(rows["paper"] == "altering") & (rows["table"] == TABLES[experiment.name])]
    copies = 2 if experiment.name == "alter_celeba" else 1  # the paper does not say which of the two it is about
    assert len(printed) == copies * len(table)
    assert {found.source for found in printed.values()} == {f"altering, {TABLES[experiment.name]}"}
    assert {metric for _, metric in printed} <= {*METRICS, "pruned"}
    for row in evidence.published:
        part, name = split_part(row.variant)
        assert name == row.method
        assert row.setting in ("five runs", "skew=95%", f"skew={part}", f"protected={part}", "protected=sex")
        assert row.variant == join_part(part, name)


def test_the_papers_numbers_are_where_the_paper_has_them() -> None:
    def printed(name: str) -> Any:
        evidence = Evidence.model_validate(BLOCKS[name])
        return published.printed([row.model_dump(exclude_none=True) for row in evidence.published])

    adult = printed("alter_adult")
    assert (adult["sex/netaug", "accuracy"].value, adult["sex/netaug", "aod"].value) == (0.65, 0.036)
    assert (adult["race/reject_option", "spd"].value, adult["race/reject_option", "spd"].std) == (0.05, 0.006)
    assert printed("alter_compas")["baseline", "eod"].value == 0.152
    assert printed("alter_cifar10s")["domain_independent", "mean_bias"].value == 0.005
    assert printed("alter_cifar10s_skew")["99%/external_graft", "accuracy"].value == 0.912
    assert printed("alter_celeba")["young/external_graft", "spd"].bound == "<0.05"
    assert printed("alter_celeba")["smiling/equalized_odds_postprocessing", "balanced_accuracy"].value == 0.98
    assert printed("teacher_prune_cifar10s")["90%/prune_guided_by_netaug", "pruned"].value == 0.12
