"""Variants: their names, and the heads they start from."""

from __future__ import annotations

import torch

from counterpoise.methods import Variant, head_bank, neutralize, weighted_svd


def test_names_say_the_settings() -> None:
    names = [
        Variant("tl"),
        Variant("svd", 1),
        Variant("win", 2, 0.5),
        Variant("win", 32, 0.95),
        Variant("win", 1, None, "harmonic"),
    ]
    assert [variant.name for variant in names] == ["tl", "svd_r1", "win_r2_a0.5", "win_r32_a0.95", "win_r1_harmonic"]


def test_heads_start_as_their_methods_say(generator: torch.Generator) -> None:
    weight, bias = torch.randn(2, 6, 3, generator=generator), torch.randn(2, 3, generator=generator)
    importance = torch.rand(2, 2, 6, generator=generator) + 0.1
    bank = head_bank([Variant("tl"), Variant("svd", 2), Variant("win", 2, 0.9)], weight, bias, importance)
    assert torch.equal(bank["tl"].first, weight)
    assert bank["tl"].second is None
    for name, weights in (("svd_r2", None), ("win_r2_a0.9", neutralize(importance, alpha=0.9))):
        first, second = weighted_svd(weight, weights, 2)
        assert torch.equal(bank[name].first, first)
        assert bank[name].second is not None
        assert torch.equal(bank[name].second, second)  # type: ignore[arg-type]
    assert all(torch.equal(head.bias, bias) for head in bank.values())
