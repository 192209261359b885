"""Tables: samples, splits → pretrained networks or trees → features. Images: features → pretrained heads."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.experiments import Base
from counterpoise.pipelines.pretrain.base import train_base
from counterpoise.pipelines.pretrain.bases import train_bases
from counterpoise.pipelines.pretrain.models import read_model, train_bases_on_head
from counterpoise.pipelines.pretrain.nodes import compute_features, fit_heads, train_networks
from counterpoise.pipelines.pretrain.tree_files import read_tree_file, train_bases_on_trees
from counterpoise.pipelines.pretrain.trees import compute_leaves, grow_trees

SETTINGS = ("params:pretrain", "params:epochs", "params:seeds")


def create_pipeline(base: Base, *, networks: bool = False, frontier: bool = False) -> Pipeline:
    """Return the stage with unbound names.

    Args:
        base: what is frozen: a network or trees, trained here on tables; trees or another model that come trained; or a
            backbone of images, which gets a head.
        networks: train whole networks here, of images too, because whole networks are repaired.
        frontier: train every kind of base that a frontier stands on.
    """
    if base == "tree_file":
        return _tree_file(frontier=frontier)
    if base == "model":
        return _model(frontier=frontier)
    if frontier:
        read = ["samples", "splits", "params:dataset", "params:frontier", "params:compute", "params:seeds"]
        read += ["features"] if base == "images" else []
        return Pipeline([Node(train_bases, read, "bases", name="train_bases")])
    if networks:
        return _networks(images=base == "images")
    if base == "trees":
        read = ["samples", "splits", "params:boosting", "params:compute", "params:seeds"]
        return Pipeline(
            [
                Node(grow_trees, read, "pretrained", name="grow_trees"),
                Node(compute_leaves, ["samples", "pretrained"], "features", name="compute_leaves"),
            ]
        )
    if base == "images":
        read = ["samples", "splits", "features", "backbone_head", "params:dataset", "params:backbone", *SETTINGS]
        return Pipeline([Node(fit_heads, read, "pretrained", name="fit_heads")])
    read = ["samples", "splits", "params:dataset", "params:network", "params:penalty", *SETTINGS]
    return Pipeline(
        [
            Node(train_networks, read, "pretrained", name="train_networks"),
            Node(compute_features, ["samples", "pretrained"], "features", name="compute_features"),
        ]
    )


def _tree_file(*, frontier: bool) -> Pipeline:
    read = ["samples", "splits", "model_files", "params:dataset", "params:trees"]
    if frontier:
        read += ["params:frontier", "params:compute", "params:seeds"]
        return Pipeline([Node(train_bases_on_trees, read, "bases", name="train_bases")])
    return Pipeline(
        [
            Node(read_tree_file, [*read, "params:seeds"], "pretrained", name="read_trees"),
            Node(compute_leaves, ["samples", "pretrained"], "features", name="compute_leaves"),
        ]
    )


def _model(*, frontier: bool) -> Pipeline:
    read = ["samples", "splits", "model_files", "params:dataset", "params:model", "params:seeds"]
    nodes = [Node(read_model, read, ["pretrained", "features"], name="read_model")]
    if frontier:
        read = ["samples", "splits", "features", "pretrained", "params:dataset", "params:frontier"]
        nodes += [Node(train_bases_on_head, [*read, "params:compute", "params:seeds"], "bases", name="train_bases")]
    return Pipeline(nodes)


def _networks(*, images: bool) -> Pipeline:
    read = [
        *("samples", "splits", "params:dataset", "params:convnet" if images else "params:network"),
        *("params:pretrain", "training_states", "params:compute", "params:epochs", "params:seeds"),
        *(["pixels"] if images else []),
    ]
    return Pipeline([Node(train_base, read, ["pretrained", "pretraining_curves"], name="train_base")])
