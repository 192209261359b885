"""Pruned networks, exported: the compact networks of all methods and seeds in one file.

    from counterpoise.artifacts.compacted import load

    model = load("data/06_models/alter_compas/compact_networks.safetensors", "netaug", seed=3)
    decisions = model.predict(x)        # rows with the columns model.columns, as they are, or images 0 … 255

`model.module` is a plain torch module from rows to logits, smaller where a whole unit or filter is pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, nn

from counterpoise.artifacts.datasets import Checkpoint, as_header, read_checkpoint
from counterpoise.errors import InputError, suggest
from counterpoise.methods.outputs import decide, scores
from counterpoise.nn.compact import describe, rebuild

ARCHITECTURE = "compact"


@dataclass(frozen=True, eq=False)
class CompactModel:
    """One replicate of one method.

    Attributes:
        module: rows [N, D], or images [N, 3, H, W] with values from 0 to 255, to logits [N, k]; one logit for two
            classes. It standardizes its input itself.
        classes: their names. columns: names of the D input columns; empty for images.
        threshold: of two classes, the second is decided where its probability is above; NaN for more, of which the
            likeliest is.
    """

    variant: str
    seed: int
    module: nn.Module
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    threshold: float

    @torch.inference_mode()
    def predict(self, x: Shaped[Tensor, "N ..."]) -> Int64[Tensor, "N"]:
        """Return the decisions, as positions in `classes`."""
        score = scores(self.module(x.float()).unsqueeze(0))
        return decide(score, torch.tensor([self.threshold], dtype=torch.float64)).squeeze(0)


def write(models: Iterable[CompactModel], **header: Any) -> Checkpoint:
    """Return models in the form in which they are stored: tensors `<variant>.<seed>.<parameter>`."""
    tensors: dict[str, Tensor] = {}
    variants: dict[str, dict[str, Any]] = {}
    shared: dict[str, Any] = {}
    for model in models:
        under = f"{model.variant}.{model.seed}."
        tensors |= {f"{under}{name}": tensor for name, tensor in model.module.state_dict().items()}
        decides = None if model.threshold != model.threshold else model.threshold  # JSON has no NaN
        description = describe(model.module) | {"threshold": decides}
        variants.setdefault(model.variant, {})[str(model.seed)] = description
        shared = {"classes": list(model.classes), "columns": list(model.columns)}
    return Checkpoint(tensors, as_header(architecture=ARCHITECTURE, variants=variants, **shared, **header))


def load(path: str | Path, variant: str, seed: int) -> CompactModel:
    """Read one model; the others of the file are not read.

    Args:
        path: of `compact_networks.safetensors`.
        variant: the method's name, such as `prune_adversarial_finetuning`.

    Raises:
        InputError: the file is not one of compact networks, or has no such variant or seed.
    """
    stored = read_checkpoint(Path(path), under=f"{variant}.{seed}.")
    if (architecture := stored.header.get("architecture")) != ARCHITECTURE:
        raise InputError(f"{path}: has the architecture {architecture!r}, expected {ARCHITECTURE!r}")
    return model_of(stored, variant, seed, source=f"{path}")


def model_of(stored: Checkpoint, variant: str, seed: int, source: str = "compact_networks") -> CompactModel:
    """Return one of the models of a checkpoint.

    Raises:
        InputError: it has no such variant or seed.
    """
    under, header = f"{variant}.{seed}.", stored.header
    replicates = _entry(header["variants"], variant, f"{source}: has no variant")
    described = dict(_entry(replicates, str(seed), f"{source}: {variant!r} has no seed"))
    threshold = described.pop("threshold")
    state = {name.removeprefix(under): tensor for name, tensor in stored.tensors.items() if name.startswith(under)}
    return CompactModel(
        variant=variant,
        seed=seed,
        module=rebuild(described, state),
        classes=tuple(header["classes"]),
        columns=tuple(header["columns"]),
        threshold=torch.nan if threshold is None else threshold,
    )


def _entry(among: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in among:
        raise InputError(f"{what} {name!r}{suggest(name, among)}")
    return among[name]
