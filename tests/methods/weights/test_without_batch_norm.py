"""A network without batch norm has no statistics to keep; everything else is done to it as to any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from counterpoise.methods.gaps import soft_bias
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, prefixed
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.discovery import TeacherMasks, discover, teacher_pruning
from counterpoise.methods.weights.finetuning import Penalty, direct_penalty, pruned_finetuning
from counterpoise.methods.weights.grafting import ExternalGraft, external_grafting, internal_grafting, noise_grafting
from counterpoise.methods.weights.mask_discovery import MaskSettings, pruned_share
from counterpoise.methods.weights.netaug import NetAug, network_augmentation
from counterpoise.nn import generators
from counterpoise.nn.builders import StackedBuilder
from counterpoise.nn.networks import Networks, StackedNetwork, evaluate, masked

Earlier = dict[str, list[Result]]
SETTINGS = Adversarial(epochs=4, warmup=0, batch_size=32)
MASKS = MaskSettings(epochs=30, batch_size=64)


@dataclass(frozen=True, eq=False)
class BareBuilder(StackedBuilder):
    def __call__(self, outputs: int | None = None) -> Networks:
        widths = [self.inputs, *self.hidden, self.outputs if outputs is None else outputs]
        return StackedNetwork(widths, generators=generators(self.seeds, "initial weights"), normalized=False)


@pytest.fixture(scope="module")
def bare(unfair: Callable[..., Problem]) -> Problem:
    task = unfair()
    build = BareBuilder(**{name: getattr(task.build, name) for name in ("inputs", "hidden", "outputs", "seeds")})
    initial = replace(task, build=build, base=build().copied())
    plain = Penalty(epochs=20, batch_size=64, weight=0.0, lr=0.01)
    base = direct_penalty(replace(initial, method="base", fit=task.pretrain), plain, {})[-1].part("network")
    assert not [name for name in base if "running" in name]
    return replace(initial, base=base)


def test_masks_make_it_fairer(bare: Problem) -> None:
    found = discover(bare, "masks", MASKS)
    assert (pruned_share(found.best) > 0).any()
    y, s = bare.labels(bare.test)
    network = bare.network()
    before, after = (
        soft_bias("spd", evaluate(network, bare.examples, bare.test, weights).logits, y, s).abs()
        for weights in (None, masked(network.weights(), found.last))
    )
    assert (after < 0.7 * before).all()


def test_every_reconstruction_is_made_of_it(bare: Problem, after_masks: Callable[..., Earlier]) -> None:
    masks = discover(bare, "masks", replace(MASKS, epochs=5)).last
    (result,) = after_masks(bare)["mask_only"]
    earlier = {"mask_only": [replace(result, tensors=prefixed("masks", masks))]}
    before = {name: tensor.clone() for name, tensor in bare.base.items()}
    external = ExternalGraft(**vars(SETTINGS), rounds=2, masks=replace(MASKS, epochs=5))
    repaired = pruned_finetuning(replace(bare, method="prune"), SETTINGS, earlier)
    results = [
        *repaired,
        *noise_grafting(replace(bare, method="noise"), SETTINGS, earlier),
        *internal_grafting(replace(bare, method="internal"), SETTINGS, earlier),
        *external_grafting(replace(bare, method="external"), external, earlier),
        *network_augmentation(replace(bare, method="netaug"), NetAug(**vars(SETTINGS)), earlier),
        *teacher_pruning(replace(bare, method="student"), TeacherMasks(epochs=2, batch_size=64), {"prune": repaired}),
    ]
    for one in results:
        assert one.score.isfinite().all(), one.name
        y, _ = bare.labels(bare.test)
        assert ((one.score.squeeze(-1) > 0.5).long() == y).double().mean() > 0.55, one.name
    assert all(torch.equal(before[name], tensor) for name, tensor in bare.base.items()), "the base is every method's"
