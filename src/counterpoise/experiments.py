"""The named experiments: one row each, `kedro run --pipeline=<name>`.

A row only says which blocks of conf/base/parameters*.yml an experiment reads. To add one: write the row, and the blocks
that are not there yet (docs/adding-an-experiment.md).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One experiment. Every field but the name and title is the name of a block of parameters."""

    name: str
    title: str
    dataset: str
    network: str
    variants: str
    evidence: str


EXPERIMENTS = (
    Experiment(
        name="win_adult",
        title="Does WIN make a fine-tuned income classifier fairer?",
        dataset="adult",
        network="mlp2",
        variants="win",
        evidence="win_adult",
    ),
)

DEFAULT = "win_adult"
