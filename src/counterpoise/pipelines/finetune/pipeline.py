"""features, initial heads → fine-tuned heads, learning curves, predictions; whole networks beside them if asked for."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.finetune.nodes import predict_test, train_heads
from counterpoise.pipelines.finetune.whole import join_predictions, retrain_networks


def create_pipeline(*, retrain: bool = False) -> Pipeline:
    """Return the stage with unbound names; with `retrain`, networks are fine-tuned whole under penalties too."""
    predictions = "head_predictions" if retrain else "predictions"
    heads = [
        Node(
            train_heads,
            [
                "samples",
                "splits",
                "features",
                "head_bank",
                "params:dataset",
                "params:finetune",
                "params:epochs",
                "params:seeds",
            ],
            ["finetuned_heads", "learning_curves"],
            name="train_heads",
        ),
        Node(
            predict_test,
            ["samples", "splits", "features", "pretrained", "finetuned_heads", "params:dataset"],
            predictions,
            name="predict_test",
        ),
    ]
    if not retrain:
        return Pipeline(heads)
    whole = [
        Node(
            retrain_networks,
            [
                "samples",
                "splits",
                "pretrained",
                "params:dataset",
                "params:finetune",
                "params:retrain",
                "params:epochs",
                "params:seeds",
            ],
            ["retrained", "retrained_predictions"],
            name="retrain_networks",
        ),
        Node(join_predictions, [predictions, "retrained_predictions"], "predictions", name="join_predictions"),
    ]
    return Pipeline([*heads, *whole])
