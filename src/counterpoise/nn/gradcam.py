"""Where in an image the score of a class comes from.

    heat = explained(network, images, y)       # [B, H, W]: Grad-CAM, or input gradients if there is no convolution

Grad-CAM: Selvaraju et al. (ICCV 2017), Section 3. Input gradients: Simonyan, Vedaldi and Zisserman (2014), Section 3.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.functional import interpolate

from counterpoise.nn.networks import SingleNetwork, in_eval_mode

Method = Literal["grad_cam", "input_gradients"]


def grad_cam(score: Float[Tensor, "B"], maps: Float[Tensor, "B C h w"]) -> Float[Tensor, "B h w"]:
    """Return what speaks for the score in each place: ReLU(Σ_c α_c A_c), α_c the mean gradient of channel c.

    Args:
        score: of one class per image, each computed from that image's maps alone.
        maps: feature maps A that the scores were computed from, on which autograd can reach them.
    """
    (gradient,) = torch.autograd.grad(score.sum(), maps)
    return (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu().detach()


def input_gradients(score: Float[Tensor, "B"], x: Float[Tensor, "... B 3 H W"]) -> Float[Tensor, "... B H W"]:
    """Return how much the score moves with each pixel: the largest |∂ score / ∂ x| of its colours."""
    (gradient,) = torch.autograd.grad(score.sum(), x)
    return gradient.abs().amax(dim=-3)


def method_for(network: SingleNetwork) -> Method:
    """Return what can explain a network: Grad-CAM needs feature maps, and an average over them."""
    return "input_gradients" if _pooling(network) is None else "grad_cam"


def explained(
    network: SingleNetwork, x: Shaped[Tensor, "1 B 3 H W"], classes: Int[Tensor, "B"]
) -> Float[Tensor, "B H W"]:
    """Return the heat of each image for its class, at the size of the images; evaluated in eval mode.

    Grad-CAM is taken at the maps that are averaged for the last layer, and interpolated.

    Args:
        classes: whose score is explained; a single logit speaks for class 1, and its negative for class 0.
    """
    pooling, maps = _pooling(network), list[Tensor]()

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        maps.append(inputs[0].detach().requires_grad_())
        return (maps[0], *inputs[1:])

    handles: list[Any] = [] if pooling is None else [pooling.register_forward_pre_hook(keep)]
    images = x.to(network.device).float().requires_grad_()
    with in_eval_mode(network, handles), torch.enable_grad():
        score = _score(network(images).logits[0], classes.to(network.device))
        if pooling is None:
            return input_gradients(score, images)[0].cpu()
        heat = grad_cam(score, maps[0])
    return interpolate(heat.unsqueeze(1), size=x.shape[-2:], mode="bilinear")[:, 0].cpu()


def _score(logits: Float[Tensor, "B k"], classes: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    if logits.shape[1] == 1:
        return logits[:, 0] * (2 * classes - 1)
    return logits.gather(1, classes.long().unsqueeze(1))[:, 0]


def _pooling(network: SingleNetwork) -> nn.Module | None:
    poolings = [part for part in network.module.modules() if isinstance(part, nn.AdaptiveAvgPool2d)]
    return poolings[-1] if poolings else None
