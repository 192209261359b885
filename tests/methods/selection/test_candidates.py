"""Neighbours: ways to train that differ in the strength of their penalty alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from counterpoise.methods.selection.candidates import neighbours


class TestNeighbours:
    def settings(self, *strengths: float | None, **other: Any) -> dict[str, dict[str, Any]]:
        line = {"method": "heads", "constraint": "eo", "threshold": 0.0, "own": True} | other
        return {f"{other}{s}": line | {"strength": s, "model": f"{other}{s}"} for s in strengths}

    def test_they_differ_in_the_strength_alone(self) -> None:
        width = 0.3
        settings = self.settings(None, 0.1, 0.14, 0.2, 5.0) | self.settings(0.1, 0.14, threshold=0.4)
        near = neighbours(settings, width)
        assert near is not None
        weight = torch.zeros(7, 7, dtype=torch.float64)
        for place in range(7):
            weight[place].index_add_(0, near.index[place], near.weight[place])
        weights = [
            float(np.exp(-(np.log(a / b) ** 2) / (2 * width**2))) for a, b in ((0.1, 0.14), (0.14, 0.2), (0.1, 0.2))
        ]
        expected = torch.eye(7, dtype=torch.float64)
        for (i, j), value in zip([(1, 2), (2, 3), (1, 3), (5, 6)], [*weights, weights[0]], strict=True):
            expected[i, j] = expected[j, i] = value
        torch.testing.assert_close(weight, expected)

    def test_none_are_asked(self) -> None:
        assert neighbours(self.settings(0.1, 0.14), 0.0) is None
