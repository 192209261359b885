"""What models say of the test rows, in the form of the contract's `predictions.parquet`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float, Int, Integer
from torch import Tensor

from counterpoise.nn import Bank, Examples, predict_logits

COLUMNS = ("method", "variant", "seed", "split", "row", "y", "s", "score", "prediction")


def predict(
    bank: Bank,
    models: Sequence[tuple[str, str, int]],
    data: Examples,
    members: Int[Tensor, "R n"],
    *,
    seeds: Sequence[int],
    classes: int,
) -> pd.DataFrame:
    """Return the predictions of a bank's models on the test rows `members`, model by model, seed by seed.

    The score is the softmax probability of the positive class (two classes), or of the predicted one (more).

    Args:
        models: method, variant and place on the bank's axis V, in the order of the result.
    """
    logits = predict_logits(bank, data, members, classes=classes)
    probability, prediction = logits.softmax(dim=-1), logits.argmax(dim=-1)
    score = probability[..., 1] if classes == 2 else probability.amax(dim=-1)
    frames = [
        predictions_of(data, method, variant, seed, members[r], score[r, v], prediction[r, v])
        for method, variant, v in models
        for r, seed in enumerate(seeds)
    ]
    return pd.concat(frames, ignore_index=True)


def predictions_of(
    data: Examples,
    method: str,
    variant: str,
    seed: int,
    members: Int[Tensor, "n"],
    score: Float[Tensor, "n"],
    prediction: Integer[Tensor, "n"],
) -> pd.DataFrame:
    """Return what one model has said of the test rows `members`."""
    columns = {
        "row": members.numpy(),
        "y": data.y[members].numpy(),
        "s": data.s[members].numpy(),
        "score": score.numpy(),
        "prediction": prediction.long().numpy(),
    }
    frame = pd.DataFrame(columns).assign(method=method, variant=variant, seed=seed, split="test")
    return frame[list(COLUMNS)]


def predictions_of_whole(
    data: Examples,
    method: str,
    variant: str,
    seeds: Sequence[int],
    members: Int[Tensor, "R n"],
    score: Float[Tensor, "R n k"],
    prediction: Integer[Tensor, "R n"],
) -> list[pd.DataFrame]:
    """Return what whole networks have said, seed by seed; of many classes the score is that of the likeliest."""
    own = score.amax(dim=-1) if score.shape[-1] > 1 else score.squeeze(-1)
    return [
        predictions_of(data, method, variant, seed, members[r], own[r], prediction[r]) for r, seed in enumerate(seeds)
    ]
