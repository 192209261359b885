"""Sub-networks as separate networks: closed gates become zeros in the network's parameters."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Bool, Shaped
from torch import Tensor

from counterpoise.methods.gates.gating import CHANNELS
from counterpoise.nn.folding import folded
from counterpoise.nn.networks import SingleNetwork, State


def merged(
    network: SingleNetwork, opened: Mapping[str, Bool[Tensor, "1 ..."]], x: Shaped[Tensor, "1 B 3 H W"]
) -> State:
    """Return the state with which an ungated network says what this one says with its gates.

    Args:
        opened: the gates by name, in any order; see `gating.Gates`.

    Raises:
        InputError: the gates are not those of this network.
    """
    weights = network.weights()
    masked = {name: weights[name] * gates.to(network.device) for name, gates in opened.items() if name in weights}
    channels = sorted((name for name in opened if name.startswith(CHANNELS)), key=_position)
    return folded(network, x, masked, [opened[name][0].float() for name in channels])


def _position(name: str) -> int:
    return int(name.removeprefix(CHANNELS))
