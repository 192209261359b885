"""features, initial heads → fine-tuned heads, learning curves, predictions."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.finetune.nodes import predict_test, train_heads


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline(
        [
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
                "predictions",
                name="predict_test",
            ),
        ]
    )
