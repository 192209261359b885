"""All metrics of a batch of predictions at once."""

from __future__ import annotations

from collections.abc import Collection

from jaxtyping import Bool, Float, Float64, Integer
from torch import Tensor

from counterpoise.errors import InputError, suggest
from counterpoise.fairness._counts import confusion_counts
from counterpoise.fairness.compared import Compared
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.fairness.scores import auc


def evaluate(
    y: Integer[Tensor, "*#batch n"],
    s: Integer[Tensor, "*#batch n"],
    prediction: Integer[Tensor, "*batch n"],
    score: Float[Tensor, "*batch n"] | None = None,
    *,
    groups: int,
    classes: int,
    mask: Bool[Tensor, "*#batch n"] | None = None,
    names: Collection[str] | None = None,
    compared: Compared = None,
) -> dict[str, Float64[Tensor, "*batch"]]:
    """Compute the metrics that need only labels, groups, predictions and scores.

    Args:
        y: true classes; broadcasts over the batch axes of `prediction`, as do `s` and `mask`.
        s: groups.
        prediction: predicted classes, for instance [R, V, N].
        score: of the positive class, for `auc`.
        mask: the samples that count (default: all).
        names: the metrics wanted (default: every count-based one, and `auc` where there are scores and two classes).

    Raises:
        InputError: if a name is unknown or cannot be computed from what is given, or `confusion_counts` or `auc` raises
            it.
    """
    can_rank = score is not None and classes == 2
    available = [*COUNT_METRICS, "auc"] if can_rank else [*COUNT_METRICS]
    wanted = available if names is None else list(names)
    for name in wanted:
        if name not in available:
            raise InputError(f"Metric {name!r} cannot be computed from these inputs{suggest(name, available)}.")
    counts = confusion_counts(y, prediction, s, groups=groups, classes=classes, mask=mask)
    values = {name: COUNT_METRICS[name](counts, compared=compared) for name in wanted if name != "auc"}
    if "auc" in wanted and score is not None:
        values["auc"] = auc(y, score, mask)
    return {name: values[name] for name in wanted}
