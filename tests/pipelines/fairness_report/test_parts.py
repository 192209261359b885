"""Principal components of what heads see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.pipelines.fairness_report.parts import project


class TestProject:
    def made(self, generator: torch.Generator) -> tuple[Checkpoint, Checkpoint, pd.DataFrame, Checkpoint]:
        x = torch.randn(1, 60, 5, generator=generator) * torch.tensor([5.0, 3.0, 1.0, 0.1, 0.1])
        weight = torch.zeros(1, 1, 5, 2)
        weight[0, 0, 2, 1] = 1.0
        header = {"widths": [9, 5, 2], "seeds": [0], "digests": {}}
        pretrained = Checkpoint({"weights.1": weight, "biases.1": torch.zeros(1, 1, 2)}, header)
        samples = pd.DataFrame({"y": 0, "s": np.arange(60) % 2})
        return (
            pretrained,
            Checkpoint({"features": x}, header),
            samples,
            Checkpoint({"splits": torch.full((1, 60), 3)}, header),
        )

    def test_components_are_scikit_learns(self, generator: torch.Generator) -> None:
        from sklearn.decomposition import PCA

        pretrained, features, samples, splits = self.made(generator)
        frame = project(pretrained, features, samples, splits)
        x = features.tensors["features"][0]
        positive = x[x[:, 2] > 0].double().numpy()
        expected = PCA(2).fit(positive)
        np.testing.assert_allclose(np.abs(frame[["x", "y"]]), np.abs(expected.transform(positive)), atol=1e-6)
        np.testing.assert_allclose(frame[["share_x", "share_y"]].iloc[0], expected.explained_variance_ratio_)
        assert frame["group"].tolist() == (np.arange(60) % 2)[(x[:, 2] > 0).numpy()].tolist()
