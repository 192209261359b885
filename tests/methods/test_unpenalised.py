"""On real people, the head without a penalty is as good as scikit-learn's logistic regression on the same features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss
from sklearn.preprocessing import StandardScaler

from counterpoise.config.loader import ConfigLoader
from counterpoise.config.parameters import check
from counterpoise.methods.bases.ground import Bases, Ground, fit
from counterpoise.methods.bases.perceptron import PerceptronBase
from counterpoise.nn import Examples
from counterpoise.pipelines.data_split.nodes import encode_samples, read_table
from counterpoise.pipelines.shared.arrays import feature_matrix

ROOT = Path(__file__).parents[2]
ROWS = 6000
C = 10.0 ** np.arange(-4, 2)


@pytest.fixture(scope="module")
def adult(raw: Callable[..., Path]) -> Examples:
    loader = ConfigLoader(str(ROOT / "conf"), env="base", base_env="base", default_run_env="base")
    dataset = check(loader["parameters"]).datasets["adult"]
    samples = encode_samples(read_table(raw("adult", "adult.data"), dataset)[0], dataset)
    return Examples(
        feature_matrix(samples), torch.tensor(samples["y"].to_numpy()), torch.tensor(samples["s"].to_numpy())
    )


@pytest.mark.parametrize("kind", ["linear", "perceptron"])
def test_the_unpenalised_head_is_as_good_as_logistic_regression(adult: Examples, kind: str) -> None:
    settings = Bases(perceptron=PerceptronBase(widths=(16,), epochs=5))
    differences = []
    for seed in range(3):
        rows = torch.randperm(len(adult.y), generator=torch.Generator().manual_seed(seed))
        members, watched, tested = rows[:ROWS], rows[ROWS : ROWS + 2000], rows[ROWS + 2000 : ROWS + 8000]
        ground = fit(kind, settings, adult, members, watched, groups=2, classes=2, seed=seed)  # type: ignore[arg-type]
        features, _ = ground.base.view(adult.x[tested])
        ours = (features @ ground.head[:-1] + ground.head[-1] > 0).long().numpy()
        theirs = _best_of_scikit_learn(ground, adult, members, watched, tested)
        y = adult.y[tested].numpy()
        differences.append(f1_score(y, theirs, average="weighted") - f1_score(y, ours, average="weighted"))
    assert np.mean(differences) <= max(np.std(differences), 0.002)


def _best_of_scikit_learn(
    ground: Ground, data: Examples, members: torch.Tensor, watched: torch.Tensor, tested: torch.Tensor
) -> np.ndarray:
    """Return what logistic regression on the same features decides, its C chosen on the same rows."""
    scaler = StandardScaler()
    x, *others = (ground.base.view(data.x[rows])[0].numpy() for rows in (members, watched, tested))
    x, y = scaler.fit_transform(x), data.y.numpy()
    models = [LogisticRegression(C=value, max_iter=2000).fit(x, y[members]) for value in C]
    losses = [log_loss(y[watched], model.predict_proba(scaler.transform(others[0]))) for model in models]
    best: np.ndarray = models[int(np.argmin(losses))].predict(scaler.transform(others[1]))
    return best
