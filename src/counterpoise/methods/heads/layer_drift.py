"""What a low rank in the place of linear layers does to a network, by plain and by weighted SVD, before any training.

    ways = {"plain": None, "neutralized": {name: neutralize(score) for name, score in scores.items()}}
    measured = measure_factors(network, layers, ways, [0.25, 0.5], answer)      # answer(network) -> [N, d]

WIN (Section 5) leaves open whether its factors carry over to larger models. Each layer is replaced by itself, and then
all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterpoise.methods.heads.layer_svd import factorised, rank_of

Answer = Callable[[nn.Module], Float[Tensor, "N d"]]
"""Runs a network on the rows that it is measured on."""

Importance = Mapping[str, Float[Tensor, "d"]]
"""By layer, of its input features, combined over groups."""

TOGETHER = "all layers"


@dataclass(frozen=True, eq=False)
class Factored:
    """A network with factors in the place of one layer, or of all of them, beside what it was.

    Attributes:
        layer: its name, or `TOGETHER`. factors: the way to weigh them.
        ratio: the share of parameters that was asked for. rank: the largest of all layers.
        parameters: the share of the layers' weights that the factors have.
        weight_error: ‖W − W′‖ / ‖W‖ (Frobenius); of all layers the square root of their mean square.
        output_error: the same of the layer's outputs, its inputs being as they were; None of all layers.
        drift: of each row, how far its answer moves, relative to the mean length of an answer.
        answer: of the changed network.
    """

    layer: str
    factors: str
    ratio: float
    rank: int
    parameters: float
    weight_error: float
    output_error: float | None
    drift: Float[Tensor, "N"]
    answer: Float[Tensor, "N d"]


def measure_factors(
    network: nn.Module,
    layers: Mapping[str, nn.Linear],
    ways: Mapping[str, Importance | None],
    ratios: Sequence[float],
    answer: Answer,
    *,
    together: Sequence[float] | None = None,
    counted: Bool[Tensor, "n"] | None = None,
) -> Iterator[Factored]:
    """Yield what each way to weigh factors comes to, for each layer, all of them, and each share of parameters.

    Args:
        layers: by name, as `layer_svd.linear_layers` returns them.
        ways: name → importance by layer; None is plain SVD.
        ratios: shares of a layer's weights that its factors may have, each above 0 and at most 1.
        together: the same where all layers are replaced; None takes `ratios`.
        counted: the rows, token by token, whose outputs count in `output_error`; None takes all.
    """
    inputs, before = _inputs(network, layers, answer)
    seen = inputs if counted is None else {name: x[counted] for name, x in inputs.items()}
    length = before.norm(dim=1).mean()
    every: list[tuple[tuple[str, ...], float]] = [((name,), ratio) for name in layers for ratio in ratios]
    if len(layers) > 1:
        every += [(tuple(layers), ratio) for ratio in (ratios if together is None else together)]
    for names, ratio in every:
        ranks = {name: rank_of(ratio, layers[name]) for name in names}
        for way, importance in ways.items():
            smaller = factorised(network, ranks, importance)
            with torch.no_grad():
                after = answer(smaller)
                errors = [_errors(layers[name], smaller.get_submodule(name), seen[name]) for name in names]
            weights = sum(layers[name].weight.numel() for name in names)
            yield Factored(
                layer=names[0] if len(names) == 1 else TOGETHER,
                factors=way,
                ratio=ratio,
                rank=max(ranks.values()),
                parameters=sum(rank * sum(layers[name].weight.shape) for name, rank in ranks.items()) / weights,
                weight_error=_root_mean_square(error for error, _ in errors),
                output_error=errors[0][1] if len(names) == 1 else None,
                drift=(after - before).norm(dim=1) / length,
                answer=after,
            )


def _inputs(
    network: nn.Module, layers: Mapping[str, nn.Linear], answer: Answer
) -> tuple[dict[str, Tensor], Float[Tensor, "N d"]]:
    """Return what each layer sees, token by token, and the answer."""
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: seen[name].append(inputs[0].flatten(0, -2)))
        for name, layer in layers.items()
    ]
    try:
        with torch.no_grad():
            result = answer(network)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(parts) for name, parts in seen.items()}, result


def _errors(layer: nn.Linear, factors: nn.Module, inputs: Float[Tensor, "n d"]) -> tuple[float, float]:
    assert isinstance(factors, nn.Sequential)
    down, up = factors
    assert isinstance(down, nn.Linear)
    assert isinstance(up, nn.Linear)
    product = up.weight @ down.weight
    exact = inputs @ layer.weight.T
    output = (exact - inputs @ product.T).norm() / exact.norm()
    return float((layer.weight - product).norm() / layer.weight.norm()), float(output)


def _root_mean_square(errors: Iterable[float]) -> float:
    return float(torch.tensor(list(errors)).square().mean().sqrt())
