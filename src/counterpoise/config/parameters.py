"""What the files under conf/ may say, checked before anything runs.

Every block of `parameters*.yml` is one model here; stages declare the block they read by its type. All of them are
checked when the session opens (`check`), so that a mistake in what the last stage reads ends the run before the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    model_validator,
)

from counterpoise.config.data import AlignedSplit as AlignedSplit
from counterpoise.config.data import BalancedSplit as BalancedSplit
from counterpoise.config.data import Count, Positive, Settings, Share
from counterpoise.config.data import Dataset as Dataset
from counterpoise.config.data import DomainSplit as DomainSplit
from counterpoise.config.data import Split as Split
from counterpoise.config.evidence import Evidence as Evidence
from counterpoise.config.networks import ConvNet, image_network
from counterpoise.config.repairs import Repairs, block_classes
from counterpoise.errors import LONGEST, InputError, one_line, shown, suggest
from counterpoise.fairness import CRITERIA
from counterpoise.methods.objective import ObjectiveSettings

MOST_SEEDS = 1000
"""Replicates of one run; their heads are trained together, and a larger number is a seed mistaken for a count."""

SEED_BOUND = 2**32
"""The first number that NumPy refuses as a seed."""


class Seeds(RootModel[tuple[int, ...]]):
    """The replicates: a list of distinct seeds, or a number n for the seeds 0 … n − 1."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        if _is_whole(value):
            if not 1 <= value <= MOST_SEEDS:
                one = f"seeds=[{value}] for this one seed" if 0 <= value < SEED_BOUND else "seeds=[0] for one seed"
                raise ValueError(f"expected a number of seeds from 1 to {MOST_SEEDS:,}, or a list of seeds: {one}")
            return tuple(range(value))
        if not isinstance(value, list | tuple):
            raise ValueError("expected a number of seeds or a list of seeds")  # noqa: TRY004 - pydantic's protocol
        if not value:
            raise ValueError("at least one seed is needed")
        if len(value) > MOST_SEEDS:
            raise ValueError(f"{len(value):,} seeds, expected at most {MOST_SEEDS:,}")
        for seed in value:
            if not _is_whole(seed) or not 0 <= seed < SEED_BOUND:
                raise ValueError(f"it has {shown(seed)}, expected whole numbers from 0 to {SEED_BOUND - 1:,}")
        if twice := {seed for seed in value if value.count(seed) > 1}:
            raise ValueError(f"seed {min(twice)} is given more than once")
        return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Network(Settings):
    """A perceptron: `layers` linear layers (WIN's MLP-2 … MLP-5), hidden layers of `width` units.

    dropout: of whole networks that are repaired, whose hidden layers also have batch norm.
    """

    layers: Annotated[int, Field(ge=2, le=1_000)]
    width: Annotated[int, Field(ge=1, le=100_000)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Backbone(Settings):
    """A frozen network that reads images, how its features are computed, and the head that is taken as pretrained.

    weights: a published name (torchvision's enum, or DEFAULT), the path of a local file, or `random`.
    download: whether published weights that are not here may be fetched.
    batch_size: None leaves it to the device.
    verify: read every image to see whether it is the one that the cached features are of; otherwise size and time of
        last change decide.
    head: `probe` fits a linear head on the pretraining rows; `imagenet` keeps the network's own.
    """

    name: str
    weights: str
    head: Literal["probe", "imagenet"]
    image_size: Annotated[int, Field(ge=16, le=4_096)] | None = None
    download: bool = False
    batch_size: Count | None = None
    shard_size: Count = 256
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    verify: bool = False


class Compute(Settings):
    """Where replicates and shards run: worker processes of this machine, or a Dask cluster."""

    backend: Literal["serial", "processes", "threads", "dask"] = "processes"
    address: str | None = None
    workers: Count | None = None


class OptimizerSettings(Settings):
    """See `counterpoise.nn.Optimizer`."""

    name: Literal["adam", "sgd"] = "adam"
    lr: Positive = 1e-3
    momentum: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "cosine"] = "constant"


class Training(Settings):
    """One training run: of a bank, or of whole networks.

    augment, keep: of whole networks that read images: whether they are cropped and mirrored at random, and whether the
    epoch with the lowest loss on the validation rows is kept or the last one.
    """

    epochs: Count
    batch_size: Count | None
    optimizer: OptimizerSettings = OptimizerSettings()
    augment: bool = True
    keep: Literal["best", "last"] = "best"


class Penalty(Settings):
    """The penalty that a network is pretrained with (WIN, Section 4.3); a strength of 0 is none."""

    constraint: Literal["dp", "eo"]
    strength: Annotated[float, Field(ge=0)]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


class Variants(Settings):
    """The grid of ways to fine-tune: every method at every rank, WIN at every α and with every neutralizer."""

    methods: Annotated[tuple[Literal["tl", "svd", "win"], ...], BeforeValidator(_as_list), Field(min_length=1)]
    ranks: Annotated[tuple[Count, ...], BeforeValidator(_as_list), Field(min_length=1)]
    alphas: Annotated[tuple[Share, ...], BeforeValidator(_as_list), Field(min_length=1)] = (0.5,)
    neutralizers: Annotated[
        tuple[Literal["mean", "harmonic", "minimum"], ...], BeforeValidator(_as_list), Field(min_length=1)
    ] = ("mean",)


Positives = Annotated[tuple[Positive, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Peers(Settings):
    """The methods that people use today; see `counterpoise.methods.Peer`.

    tolerances: of exponentiated_gradient, one variant for each and for each constraint.
    max_iter: its iterations.
    C: inverse strengths of the logistic regressions' L2 penalty. Of several, each replicate takes for all of its peers
        the one at which plain logistic regression has the lowest log loss on its validation rows.
    """

    methods: Annotated[
        tuple[Literal["logistic", "reweighing", "leace", "exponentiated_gradient", "threshold_optimizer"], ...],
        BeforeValidator(_as_list),
        Field(min_length=1),
    ] = ("logistic", "reweighing", "leace", "exponentiated_gradient", "threshold_optimizer")
    tolerances: Positives = (0.01, 0.02, 0.05, 0.1, 0.2)
    max_iter: Count = 50
    C: Positives = (0.0001, 0.001, 0.01, 0.1, 1.0)

    @model_validator(mode="after")
    def _ordered(self) -> Peers:
        for name, values in (("tolerances", self.tolerances), ("C", self.C)):
            if any(left >= right for left, right in pairwise(values)):
                raise ValueError(f"{name} is {shown(list(values))}, expected increasing numbers")
        if twice := {method for method in self.methods if self.methods.count(method) > 1}:
            raise ValueError(f"method {min(twice)} is given more than once")
        return self


class Retrain(Settings):
    """Penalties that the whole network is fine-tuned with (WIN, Section 4.4): every constraint at every strength."""

    constraints: Annotated[tuple[Literal["dp", "eo"], ...], BeforeValidator(_as_list), Field(min_length=1)]
    strengths: Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_as_list), Field(min_length=1)]


class Frontier(Settings):
    """The grid of penalties that every initial head is trained with; see `counterpoise.methods.train_grid`.

    temperature: of the soft rates. thresholds: decision thresholds on the logit z₁ − z₀ that each trained head is tried
    with; they cost no training. class_weights: `balanced` gives every class the same weight in the cross-entropy.
    folds: into how many the training rows are divided, so that each way to train is also judged by training rows, those
    of one fold at a time, which it was then not trained on; costs as many further trainings. 0: validation rows alone.
    """

    constraints: Annotated[tuple[Literal["dp", "eo"], ...], BeforeValidator(_as_list), Field(min_length=1)]
    strengths: Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_as_list), Field(min_length=1)]
    weight_decays: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_as_list), Field(min_length=1)
    ] = (0.0,)
    temperature: Positive = 1.0
    thresholds: Annotated[tuple[float, ...], BeforeValidator(_as_list), Field(min_length=1)] = (0.0,)
    class_weights: Literal["balanced"] | None = None
    folds: Annotated[int, Field(ge=0)] = 0
    training: Training

    @model_validator(mode="after")
    def _increasing(self) -> Frontier:
        for name in ("strengths", "weight_decays", "thresholds"):
            values = getattr(self, name)
            if any(left >= right for left, right in pairwise(values)):
                raise ValueError(f"{name} are {shown(list(values))}, expected increasing numbers")
        for name in ("strengths", "thresholds"):
            if 0 not in (values := getattr(self, name)):
                raise ValueError(f"{name} are {shown(list(values))}, expected 0 among them, to compare the others with")
        if self.folds == 1:
            raise ValueError("folds is 1, expected 0 or at least 2, since one fold is all rows")
        return self


class Selection(Settings):
    """Which model is the best: the lowest error among those whose bias on validation is within the tolerance.

    criterion: a metric of the contract. What is held against the tolerance is how far a model is from its ideal
    (`fairness.shortfall`): the size of a gap, 1 − an accuracy, the error / 100; of gaps as `fairness.underlying_bias`
    estimates them, without what chance adds on few rows. smoothing: the width, in the logarithm of the penalty's
    strength, over which those estimates are averaged along each line of models that differ in nothing else; 0 for none.
    validation: `pooled` judges a way to train by the validation parts of all replicates, less the rows that the
    replicate at hand is tested on; `own` by the replicate's own part alone. strict: a tolerance that no model meets is
    an error.
    """

    tolerance: Positive = 0.05
    criterion: str = "delta_eo"
    validation: Literal["pooled", "own"] = "pooled"
    smoothing: Annotated[float, Field(ge=0)] = 0.3
    strict: bool = False

    @model_validator(mode="after")
    def _known(self) -> Selection:
        if self.criterion == "leakage":
            raise ValueError(
                "criterion is 'leakage', which is measured on the frozen features that all heads share, expected a "
                f"metric that differs between heads{suggest(None, CRITERIA)}"
            )
        if self.criterion not in CRITERIA:
            raise ValueError(f"criterion is {shown(self.criterion)}{suggest(self.criterion, CRITERIA)}")
        return self


class Report(Settings):
    """How results are summarised. `examples`: images shown per cell of group × class × right or wrong; 0 shows none."""

    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    leakage: bool = True
    examples: Annotated[int, Field(ge=0, le=1_000)] = 0


class PartBlocks(Settings):
    """What a part of an experiment reads in the place of the experiment's blocks; see `counterpoise.config.parts`."""

    dataset: Dataset | None = None
    network: Network | None = None
    backbone: Backbone | None = None
    penalty: Penalty | None = None
    finetune: Training | None = None
    objective: ObjectiveSettings | None = None


class Parameters(Settings):
    """All of `parameters*.yml`, and the blocks of the experiments' parts."""

    seeds: Seeds
    epochs: Count | None = None
    tracking: bool = True
    reuse: bool = False
    datasets: dict[str, Dataset]
    networks: dict[str, Network]
    convnets: dict[str, Annotated[ConvNet, BeforeValidator(image_network)]] = Field(default={})
    backbones: dict[str, Backbone]
    compute: Compute = Compute()
    pretrain: Training
    pretrains: dict[str, Training] = Field(default={})
    variants: dict[str, Variants]
    finetune: Training
    peers: Peers = Peers()
    finetunes: dict[str, Training] = Field(default={})
    penalties: dict[str, Penalty]
    retrains: dict[str, Retrain] = Field(default={})
    frontiers: dict[str, Frontier] = Field(default={})
    selection: Selection = Selection()
    objectives: dict[str, ObjectiveSettings] = Field(default={})
    repairs: dict[str, Repairs] = Field(default={})
    evidence: dict[str, Evidence]
    report: Report = Report()
    fetch: dict[Literal["celeba", "compas", "lfwa"], dict[str, Any]] = Field(default={})
    parts: dict[str, dict[str, PartBlocks]] = Field(default={})

    def at(self, path: str) -> Any:
        """Return the block or value at a path such as `datasets.adult`; raises KeyError if there is none."""
        value: Any = self
        for name in path.split("."):
            if not isinstance(value, Mapping) and not hasattr(value, name):
                raise KeyError(path)
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        return value


def check(raw: Mapping[str, Any]) -> Parameters:
    """Return the validated parameters.

    Raises:
        InputError: one sentence for the first mistake, naming the key, what was found and what was expected.
    """
    try:
        return Parameters.model_validate(raw)
    except ValidationError as error:
        raise InputError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """Say the first mistake of a validation in one sentence."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    key = one_line(".".join(location), LONGEST)
    if first["type"] in UNKNOWN_KEY:
        parent = ".".join(location[:-1])
        inside = f" in {parent!r}" if parent else ""
        return f"conf: unknown parameter {shown(location[-1])}{inside}{suggest(location[-1], _fields(location[:-1]))}"
    if first["type"] == "missing":
        return f"conf: parameter {key!r} is missing"
    found = first["input"]
    value = f" is {shown(found)}" if isinstance(found, str | int | float | bool | list | tuple | None) else ""
    if first["type"] == "literal_error" and isinstance(found, str):
        expected = [option.strip(" '") for option in str(first["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        return f"conf: parameter {key!r}{value}{suggest(found, expected)}"
    reason = one_line(first["msg"].removeprefix("Value error, "))
    return f"conf: parameter {key!r}{value}: {reason[0].lower()}{reason[1:]}"


UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a key that a model, or a dataclass, does not have."""


def _fields(location: list[str]) -> list[str]:
    """Return the keys that the block at `location` may have, in any of its forms."""
    models: list[Any] = [Parameters]
    for part in location:
        models = [inner for model in models for inner in _models(_annotations(model).get(part, model))]
    return [name for model in models for name in _annotations(model)]


def _models(annotation: Any) -> list[Any]:
    """Return the models and dataclasses within an annotation, such as that of the values of a dictionary."""
    if _is_model(annotation):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models(inner)]


def _annotations(model: Any) -> dict[str, Any]:
    """Return the keys of a model or dataclass, and what stands there."""
    if is_dataclass(model):
        hints = get_type_hints(model)
        return {part.name: hints[part.name] for part in fields(model)}
    blocks = block_classes() if model is Repairs else {}
    return {name: field.annotation for name, field in model.model_fields.items()} | blocks


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation))


def check_ranks(variants: Variants, *, inputs: int, classes: int) -> None:
    """Raise InputError unless every rank fits a head of `inputs` features and `classes` classes."""
    for rank in variants.ranks:
        if rank > min(inputs, classes):
            raise InputError(
                f"conf: variants has rank {rank}, expected 1 … {min(inputs, classes)}, the smaller of the head's "
                "numbers of features and classes"
            )
