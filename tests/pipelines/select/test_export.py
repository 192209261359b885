"""Chosen heads give the chosen scores, and the exported model is one of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from counterpoise.artifacts.serving import read_servable
from counterpoise.pipelines.select.export import best
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.pipelines.shared.heads import read_heads

EXPERIMENT = "frontier_adult"
OWN = {"chosen", "chosen_tl", "chosen_svd", "chosen_win", "tl"}


class TestModels:
    def test_heads_are_found_under_their_names_and_give_the_scores(self, artifacts: dict[str, Any]) -> None:
        heads, outcomes, x = (
            artifacts["frontier_heads"],
            artifacts["frontier_outcomes"],
            artifacts["features"].tensors["features"],
        )
        assert list(heads.header["variants"]) == list(outcomes.header["variants"]) == sorted(heads.header["variants"])
        for part in ("validation", "test"):
            members = rows(artifacts["splits"], part)
            for r in range(3):
                logits = torch.einsum("nd,vdk->vnk", x[r][members[r]], heads.tensors["weight"][r])
                score = (logits + heads.tensors["bias"][r].unsqueeze(1)).softmax(dim=-1)[..., 1]
                torch.testing.assert_close(outcomes.tensors[f"{part}.score"][r], score)

    def test_chosen_models_have_the_threshold_in_their_bias(self, artifacts: dict[str, Any]) -> None:
        chosen = artifacts["selection"].query("own").set_index(["family", "seed"])
        assert (chosen["threshold"] != 0).any(), "the test needs a threshold"
        heads, members = read_heads(artifacts["chosen_models"]), rows(artifacts["splits"], "test")
        assert set(heads) == OWN
        predictions = artifacts["predictions"].set_index(["variant", "seed"])
        for (family, seed), row in chosen.iterrows():
            own = predictions.loc[family, seed]
            assert own["row"].tolist() == members[seed].tolist()
            x = artifacts["features"].tensors["features"][seed][members[seed]]
            logits = x @ heads[family].first[seed] + heads[family].bias[seed]
            assert logits.argmax(dim=-1).tolist() == own["prediction"].tolist()
            margin = logits[:, 1] - logits[:, 0] + row["threshold"]
            assert margin.sigmoid().numpy() == pytest.approx(own["score"].to_numpy(), abs=1e-5)

    def test_the_exported_model_is_one_of_them(self, frontier_run: Any, artifacts: dict[str, Any]) -> None:
        served, row = read_servable(frontier_run.file(f"06_models/{EXPERIMENT}/model")), best(artifacts["selection"])
        head = read_heads(artifacts["chosen_models"])["chosen"]
        assert torch.equal(served.layers[-1][0], head.first[row["seed"]])
        assert torch.equal(served.layers[-1][1], head.bias[row["seed"]])
        assert {name: served.metadata[name] for name in ("variant", "seed", "meets")} == {
            name: row[name] for name in ("variant", "seed", "meets")
        }
