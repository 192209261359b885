"""What is made of the logits of whole networks: losses to train by, scores and decisions.

Networks for two classes have one logit, which speaks for class 1; others have one per class.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from counterpoise.nn.linalg import in_full_blocks


def task_loss(logits: Float[Tensor, "R B k"], y: Int[Tensor, "R B"]) -> Float[Tensor, "R"]:
    """Return the mean cross-entropy of each replicate's batch, in nats."""
    if logits.shape[-1] == 1:
        return binary_cross_entropy(logits.squeeze(-1), y.to(logits.dtype)).mean(dim=1)
    return cross_entropy(logits.transpose(1, 2), y.long(), reduction="none").mean(dim=1)


def binary_cross_entropy(logits: Float[Tensor, "R B"], wanted: Float[Tensor, "R B"]) -> Float[Tensor, "R B"]:
    """Return the cross-entropy of each row to a class or a probability of class 1, in nats."""
    return in_full_blocks(partial(binary_cross_entropy_with_logits, reduction="none"), logits, wanted)


def scores(logits: Float[Tensor, "R m k"]) -> Float[Tensor, "R m k"]:
    """Return the probability of class 1, [R, m, 1], or of every class."""
    if logits.shape[-1] == 1:
        return in_full_blocks(torch.sigmoid, logits.squeeze(-1)).unsqueeze(-1)
    return logits.softmax(dim=-1)


def decide(score: Float[Tensor, "R m k"], threshold: Float64[Tensor, "R"]) -> Int64[Tensor, "R m"]:
    """Return the predicted classes: score above the threshold, or the likeliest class."""
    if score.shape[-1] > 1:
        return score.argmax(dim=-1)
    return (score.squeeze(-1).double() > threshold.unsqueeze(1)).long()


def decisions(logits: Float[Tensor, "R n k"]) -> Int[Tensor, "R n"]:
    """Return the likeliest class of each row; one logit speaks for class 1."""
    return (logits.squeeze(-1) > 0).long() if logits.shape[-1] == 1 else logits.argmax(dim=-1)
