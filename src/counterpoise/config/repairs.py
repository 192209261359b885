"""Parameters of the second paper's experiments: what is repaired, under which objective, by which methods.

The defaults are those of the dataclasses in `counterpoise.methods.weights`, to which these blocks are handed on.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from counterpoise.config.data import Count, Positive, Settings, Share, of_kind

NotNegative = Annotated[float, Field(ge=0)]
Inside = Annotated[float, Field(gt=0, lt=1)]


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


class ObjectiveSettings(Settings):
    """What a repair is judged by: performance where |bias| < tolerance − margin."""

    bias: Literal["spd", "eod", "aod", "mean_bias"]
    performance: Literal["balanced_accuracy", "accuracy"] = "balanced_accuracy"
    tolerance: Positive = 0.05
    margin: NotNegative = 0.02

    @model_validator(mode="after")
    def _room(self) -> ObjectiveSettings:
        if self.tolerance <= self.margin:
            raise ValueError(f"the tolerance {self.tolerance:g} is not above the margin {self.margin:g}")
        return self


class MaskParameters(Settings):
    """Mask discovery; see `counterpoise.methods.weights.mask_discovery.MaskSettings`."""

    initial: float = 2.0
    lr: Positive = 0.05
    noise_low: NotNegative = 0.05
    noise_high: NotNegative = 1.0
    sparsity_weight: NotNegative = 5.0
    prunable: Inside | None = 0.1
    fairness_weight: NotNegative = 5.0
    epochs: Count = 80
    batch_size: Count = 256


class AdversarialParameters(Settings):
    """Adversarial fine-tuning; see `counterpoise.methods.weights.adversarial.Adversarial`."""

    pressure: NotNegative = 10.0
    lr: Positive = 1e-3
    critic_lr: Positive = 1e-3
    epochs: Count = 90
    warmup: Annotated[int, Field(ge=0)] = 5
    batch_size: Count = 64


class PenaltyParameters(Settings):
    """The control that fine-tunes under a penalty; see `counterpoise.methods.weights.finetuning.Penalty`."""

    weight: NotNegative = 5.0
    lr: Positive = 1e-3
    epochs: Count = 80
    batch_size: Count = 256


class PerturbationParameters(Settings):
    """Random perturbation; see `counterpoise.methods.weights.perturbation.Perturbation`."""

    trials: Count = 101
    spread: Positive = 0.1


class LayerwiseParameters(Settings):
    """Layer-wise optimisation; see `counterpoise.methods.weights.layerwise.Layerwise`."""

    tensors: Count = 5
    calls: Count = 20
    box: Positive = 2.2
    entries: Count = 1024


class InProcessingParameters(Settings):
    """The peers that train from scratch; see `counterpoise.methods.weights.inprocessing`.

    strength, opponent_lr: of those with an opponent.
    """

    epochs: Count = 30
    batch_size: Count = 64
    lr: Positive = 1e-3
    augment: bool = False
    strength: NotNegative = 1.0
    opponent_lr: Positive = 1e-3


class RejectOptionParameters(Settings):
    """Reject option classification; see `counterpoise.methods.weights.postprocessing.RejectOption`."""

    thresholds: Count = 100
    margins: Count = 50


class CalibratedParameters(Settings):
    """Calibrated equalized odds; see `counterpoise.methods.weights.postprocessing.CalibratedOdds`."""

    cost: Literal["fnr", "fpr", "weighted"] = "fnr"


class Altering(Settings):
    """Methods and their settings; see `counterpoise.methods.weights.catalogue`.

    paper_batch_size: of mask discovery as the paper can be read. rounds: of external grafting. diversity, scale: of
    network augmentation. consistency: γ of teacher pruning.
    """

    methods: tuple[str, ...] = Field(min_length=1)
    masks: MaskParameters = MaskParameters()
    paper_batch_size: Count = 64
    adversarial: AdversarialParameters = AdversarialParameters()
    penalty: PenaltyParameters = PenaltyParameters()
    perturbation: PerturbationParameters = PerturbationParameters()
    layerwise: LayerwiseParameters = LayerwiseParameters()
    in_processing: InProcessingParameters = InProcessingParameters()
    reject_option: RejectOptionParameters = RejectOptionParameters()
    calibrated: CalibratedParameters = CalibratedParameters()
    rounds: Count = 5
    diversity: Share = 0.05
    scale: NotNegative = 1.0
    consistency: NotNegative = 1.0
