"""The named experiments: one row each, `kedro run --pipeline=<name>`.

A row only says which blocks of conf/base/parameters*.yml an experiment reads. To add one: write the row, and the blocks
that are not there yet (docs/adding-an-experiment.md).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One experiment. Every field but the name and title is the name of a block of parameters.

    Tables have a `network` that is trained here; images have a `backbone` that comes trained. With a `frontier`, the
    heads are trained under a grid of penalties and compared with peers, and the tolerance chooses among them.
    """

    name: str
    title: str
    dataset: str
    variants: str
    evidence: str
    network: str | None = None
    backbone: str | None = None
    frontier: str | None = None


EXPERIMENTS = (
    Experiment(
        name="win_adult",
        title="Does WIN make a fine-tuned income classifier fairer?",
        dataset="adult",
        network="mlp2",
        variants="win",
        evidence="win_adult",
    ),
    Experiment(
        name="win_celeba",
        title="Does WIN make a fine-tuned hair classifier fairer?",
        dataset="celeba",
        backbone="probe",
        variants="win",
        evidence="win_images",
    ),
    Experiment(
        name="win_lfwa",
        title="Does WIN make a fine-tuned gender classifier fairer?",
        dataset="lfwa",
        backbone="probe",
        variants="win",
        evidence="win_images",
    ),
    Experiment(
        name="win_celeba_imagenet",
        title="Does WIN help where the head is truncated for real? (1000-way head, CelebA)",
        dataset="celeba",
        backbone="imagenet",
        variants="win_imagenet",
        evidence="win_images_imagenet",
    ),
    Experiment(
        name="win_lfwa_imagenet",
        title="Does WIN help where the head is truncated for real? (1000-way head, LFW+a)",
        dataset="lfwa",
        backbone="imagenet",
        variants="win_imagenet",
        evidence="win_images_imagenet",
    ),
    Experiment(
        name="frontier_adult",
        title="How fair can an income classifier be, and at what price?",
        dataset="adult",
        network="mlp2",
        variants="win",
        frontier="tables",
        evidence="frontier_adult",
    ),
    Experiment(
        name="frontier_celeba",
        title="How fair can a hair classifier be, and at what price?",
        dataset="celeba",
        backbone="probe",
        variants="win",
        frontier="images",
        evidence="frontier_images",
    ),
    Experiment(
        name="frontier_lfwa",
        title="How fair can a gender classifier be, and at what price?",
        dataset="lfwa",
        backbone="probe",
        variants="win",
        frontier="images",
        evidence="frontier_images",
    ),
)

DEFAULT = "win_adult"

FETCHABLE = ("celeba", "lfwa")
"""Data sets with a pipeline `fetch_<dataset>`."""
