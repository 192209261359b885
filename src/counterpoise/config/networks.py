"""Parameters of networks that are trained here, whole, and read images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from counterpoise.config.data import Count, Settings, of_kind

Width = Annotated[int, Field(ge=8, multiple_of=8)]


class ResNet(Settings):
    """A ResNet-18 that is trained here, whole; see `counterpoise.nn.builders.ResNetBuilder`."""

    architecture: Literal["resnet18"] = "resnet18"
    width: Width = 64
    pooled: bool = False
    weights: str | None = None


class PlainConvNet(Settings):
    """Convolutions one after the other; see `counterpoise.nn.builders.PlainConvBuilder`."""

    architecture: Literal["plain"]
    widths: tuple[Width, ...] = Field(default=(16, 32, 64, 128), min_length=1)
    kernel: Annotated[int, Field(ge=1)] = 7
    strides: tuple[Count, ...] = (1, 1, 1, 1)

    @model_validator(mode="after")
    def _fit(self) -> PlainConvNet:
        if len(self.widths) != len(self.strides):
            raise ValueError(f"{len(self.widths)} widths have {len(self.strides)} strides")
        if self.kernel % 2 == 0:
            raise ValueError(f"the kernel is {self.kernel}, expected an odd number")
        return self


class PixelPerceptron(Settings):
    """A perceptron that reads pixels; see `counterpoise.nn.builders.PixelPerceptronBuilder`."""

    architecture: Literal["perceptron"]
    widths: tuple[Count, ...] = Field(default=(100, 100, 100), min_length=1)


ConvNet = ResNet | PlainConvNet | PixelPerceptron


def image_network(value: Any) -> Any:
    """Read a block of `convnets` as the kind that its `architecture` names, a ResNet-18 by default."""
    kinds: dict[str, type[Settings]] = {"resnet18": ResNet, "plain": PlainConvNet, "perceptron": PixelPerceptron}
    return of_kind(value, "architecture", kinds, default="resnet18")
