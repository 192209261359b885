"""Gates that are merged into the weights: an ungated network that says the same."""

from __future__ import annotations

import torch

from counterpoise.methods.gates.gating import CHANNELS
from counterpoise.methods.gates.merging import merged
from counterpoise.nn.builders import PixelPerceptronBuilder
from counterpoise.nn.gates import activation_sizes, forward
from counterpoise.nn.networks import SingleNetwork

EDGE, LAYERS = 4, 12
"""More layers than ten: by their names as texts, the tenth would come before the second."""


@torch.no_grad()
def test_the_merged_network_says_what_the_gated_one_says(generator: torch.Generator) -> None:
    """In whatever order the gates come; of weights that have no gate all remain."""
    builder = PixelPerceptronBuilder(
        outputs=3, seeds=(0,), inputs=3 * EDGE**2, widths=tuple(range(9, 9 + LAYERS)), accelerated=False
    )
    network = builder()
    assert isinstance(network, SingleNetwork)
    network.eval()
    x = torch.randint(0, 256, (1, 7, 3, EDGE, EDGE), generator=generator, dtype=torch.uint8)
    channels = [torch.rand(1, size, generator=generator) < 0.9 for size in activation_sizes(network, x)]
    name = network.maskable()[-1]
    weights = {name: torch.rand(network.weights()[name].shape, generator=generator) < 0.5}
    gates = {f"{CHANNELS}{i}": gate for i, gate in enumerate(channels)} | weights
    gated = {name: network.weights()[name] * weights[name]}
    said = forward(network, x, gated, [gate[0].float() for gate in channels]).logits
    assert not said.allclose(network(x).logits, atol=1e-3)
    network.load(merged(network, dict(sorted(gates.items(), reverse=True)), x))
    torch.testing.assert_close(network(x).logits, said, rtol=1e-4, atol=1e-5)
