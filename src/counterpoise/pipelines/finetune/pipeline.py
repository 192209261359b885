"""features, initial heads → fine-tuned heads, learning curves, predictions; whole networks beside them if asked for."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.finetune.nodes import retrain_networks, train_heads

COMMON = ("params:dataset", "params:finetune", "params:epochs", "params:seeds")


def create_pipeline(*, retrain: bool = False) -> Pipeline:
    """Return the stage with unbound names; with `retrain`, networks are fine-tuned whole under penalties too."""
    predictions = "head_predictions" if retrain else "predictions"
    heads = Node(
        train_heads,
        ["samples", "splits", "features", "pretrained", "head_bank", *COMMON],
        ["finetuned_heads", "learning_curves", predictions],
        name="train_heads",
    )
    if not retrain:
        return Pipeline([heads])
    networks = Node(
        retrain_networks,
        ["samples", "splits", "pretrained", predictions, "params:retrain", *COMMON],
        ["retrained", "predictions"],
        name="retrain_networks",
    )
    return Pipeline([heads, networks])
