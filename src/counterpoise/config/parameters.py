"""What the files under conf/ may say, checked before anything runs.

Every block of `parameters*.yml` is one model here; stages declare the block they read by its type. All of them are
checked when the session opens (`check`), so that a mistake in what the last stage reads ends the run before the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, ValidationError, model_validator

from counterpoise.bounds import Count, Inside, NotNegative, Positive
from counterpoise.config.data import AlignedSplit as AlignedSplit
from counterpoise.config.data import BalancedSplit as BalancedSplit
from counterpoise.config.data import Dataset as Dataset
from counterpoise.config.data import DomainSplit as DomainSplit
from counterpoise.config.data import Settings, of_kind
from counterpoise.config.data import Split as Split
from counterpoise.config.evidence import Evidence as Evidence
from counterpoise.config.experiments import ExperimentRow
from counterpoise.config.mistakes import sentence_of
from counterpoise.config.models import Model
from counterpoise.config.repairs import Repairs
from counterpoise.config.retraining import Retraining
from counterpoise.errors import InputError, shown, suggest
from counterpoise.experiments import Experiment
from counterpoise.fairness import CRITERIA
from counterpoise.fairness.certify import CERTIFIABLE
from counterpoise.methods.frontier import Frontier
from counterpoise.methods.heads.penalties import Penalty
from counterpoise.methods.heads.retraining import Penalties
from counterpoise.methods.heads.variants import Variants
from counterpoise.methods.objective import ObjectiveSettings
from counterpoise.methods.peers.settings import Peers
from counterpoise.nn.settings import Training
from counterpoise.nn.trees import Boosting

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


T = TypeVar("T")

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
        if _is_integer(value):
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
            if not _is_integer(seed) or not 0 <= seed < SEED_BOUND:
                raise ValueError(f"it has {shown(seed)}, expected whole numbers from 0 to {SEED_BOUND - 1:,}")
        if twice := {seed for seed in value if value.count(seed) > 1}:
            raise ValueError(f"seed {min(twice)} is given more than once")
        return value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Block(RootModel[T], Generic[T]):
    """A block of parameters that is a dataclass of a room below, `root`: how a stage declares that it reads one.

    Kedro would hand a dataclass the block as it stands in the file, with its own blocks as mappings.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Network(Settings):
    """A perceptron, WIN's MLP-2 … MLP-5.

    layers: linear ones. width: units of each hidden layer.
    dropout: of whole networks that are repaired, whose hidden layers also have batch norm.
    """

    layers: Annotated[int, Field(ge=2, le=1_000)]
    width: Annotated[int, Field(ge=1, le=100_000)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Backbone(Settings):
    """A frozen network that reads images, how its features are computed, and the head that is taken as pretrained.

    name: of the architecture (`features.backbones`).
    image_size: edge in pixels that images are scaled to; null takes the backbone's own.
    shard_size: images between two files of the cache. precision: of the computation; `auto` goes by the device.
    weights: a published name (torchvision's enum, or DEFAULT), the path of a local file, or `random`.
    download: whether published weights that are not here may be fetched.
    batch_size: None leaves it to the device.
    verify: read every image to see whether it is the one that the cached features are of; otherwise size and time of
        last change decide.
    head: `probe` fits a linear head on the pretraining rows; `imagenet` keeps the network's own, whose first classes
        are taken for the labels; `network` too, which has the classes of the data.
    arguments, layer, mean, std: of a network of the user's; see `counterpoise.features.backbones.Described`.
    """

    name: str
    weights: str
    head: Literal["probe", "imagenet", "network"]
    arguments: dict[str, Any] = Field(default={})
    layer: str | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    image_size: Annotated[int, Field(ge=16, le=4_096)] | None = None
    download: bool = False
    batch_size: Count | None = None
    shard_size: Count = 256
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    verify: bool = False


class Compute(Settings):
    """Where replicates and shards run: worker processes of this machine, or a Dask cluster.

    backend: what does the work. address: of the Dask scheduler. workers: how many at once; null takes all cores.
    """

    backend: Literal["serial", "processes", "threads", "dask"] = "processes"
    address: str | None = None
    workers: Count | None = None


class Selection(Settings):
    """Which model is the best: the lowest error among those whose bias on validation is within the tolerance.

    tolerance: what the criterion may come to at most.
    criterion: a metric of the contract. What is held against the tolerance is how far a model is from its ideal
    (`fairness.shortfall`): the size of a gap, 1 − an accuracy, the error / 100; of gaps as `fairness.underlying_bias`
    estimates them, without what chance adds on few rows. smoothing: the width, in the logarithm of the penalty's
    strength, over which those estimates are averaged along each line of models that differ in nothing else; 0 for none.
    validation: `own` judges by the rows that the replicate has not learnt from: its validation part, and with folds
    every other row but the test part; `pooled` also by those of all replicates, less the rows that the replicate at
    hand is tested on; `auto`: `own` for models that were cross-fitted, `pooled` for others, whose validation parts are
    small. strict: a tolerance that no model meets is an error.
    nested_folds: choosing the best of thousands of models takes those whose biases look smaller than they are. The
    choice is made again without each of so many folds of the rows that judge, and measured on the fold; what is judged
    has to be within a smaller bound, if it takes one for these choices to be within the tolerance. 0: no correction.
    certify: the probability with which the tolerance is to hold on new data: only models that the validation part
    certifies are chosen (`fairness.certify`), with one row of each unit where rows belong `together`.
    """

    tolerance: Positive = 0.05
    criterion: str = "delta_eo"
    validation: Literal["auto", "own", "pooled"] = "auto"
    smoothing: NotNegative = 0.3
    nested_folds: Annotated[int, Field(ge=0)] = 5
    strict: bool = False
    certify: Inside | None = None

    @model_validator(mode="after")
    def _measurable(self) -> Selection:
        if self.criterion == "leakage":
            raise ValueError(
                "criterion is 'leakage', which is measured on the frozen features that all heads share, expected a "
                f"metric that differs between heads{suggest(None, CRITERIA)}"
            )
        if self.criterion not in CRITERIA:
            raise ValueError(f"criterion is {shown(self.criterion)}{suggest(self.criterion, CRITERIA)}")
        if self.nested_folds == 1:
            raise ValueError("nested_folds is 1, expected 0 or at least 2, since one fold is all rows")
        if self.certify is not None and self.criterion not in CERTIFIABLE:
            raise ValueError(
                f"criterion is {shown(self.criterion)}, which cannot be certified, expected one of "
                f"{', '.join(CERTIFIABLE)}"
            )
        return self


class Report(Settings):
    """How results are summarised.

    level: of the intervals of claims; 1 − level is what Holm's p is compared with. leakage: whether a linear probe is
    fitted that reads the group from the representation. examples: images shown per cell of group × class × right or
    wrong; 0 shows none.
    """

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
    """All of `parameters*.yml`, and the blocks of the experiments' parts.

    seeds: replicates: a number n for the seeds 0 … n − 1, or a list. epochs: if given, of every training stage.
    tracking: whether runs are logged to MLflow. reuse: on the command line, whether earlier results are used again
    where nothing they depend on has changed. compute: where work is done. pretrain: training of perceptrons.
    finetune: of heads. peers: what all frontiers are compared with. selection: which model is chosen.
    report: how results are summarised.
    fetch: what the pipelines `fetch_*` need to know. parts: written by the program, never by hand.
    experiments: rows of conf/, beside those of the source.
    """

    seeds: Seeds
    epochs: Count | None = None
    tracking: bool = True
    reuse: bool = False
    datasets: dict[str, Dataset]
    networks: dict[str, Network]
    boostings: dict[str, Boosting] = Field(default={})
    models: dict[str, Model] = Field(default={})
    convnets: dict[str, Annotated[ConvNet, BeforeValidator(image_network)]] = Field(default={})
    backbones: dict[str, Backbone]
    compute: Compute = Compute()
    pretrain: Training
    pretrains: dict[str, Training] = Field(default={})
    variants: dict[str, Variants]
    finetune: Training
    peers: Peers = Peers()
    peer_sets: dict[str, Peers] = Field(default={})
    finetunes: dict[str, Training] = Field(default={})
    penalties: dict[str, Penalty]
    retrains: dict[str, Penalties] = Field(default={})
    frontiers: dict[str, Frontier] = Field(default={})
    selection: Selection = Selection()
    objectives: dict[str, ObjectiveSettings] = Field(default={})
    repairs: dict[str, Repairs] = Field(default={})
    evidence: dict[str, Evidence]
    report: Report = Report()
    retraining: Retraining | None = None
    fetch: dict[Literal["celeba", "compas", "lfwa"], dict[str, Any]] = Field(default={})
    parts: dict[str, dict[str, PartBlocks]] = Field(default={})
    experiments: dict[str, ExperimentRow] = Field(default={})  # type: ignore[valid-type]

    def at(self, path: str) -> Any:
        """Return the block or value at a path such as `datasets.adult`; raises KeyError if there is none."""
        value: Any = self
        for name in path.split("."):
            if not isinstance(value, Mapping) and not hasattr(value, name):
                raise KeyError(path)
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        return value

    def evidence_of(self, experiment: Experiment) -> Evidence:
        """Return what an experiment is held against: nothing, if its row names no evidence."""
        return Evidence() if experiment.evidence is None else self.evidence[experiment.evidence]


def check(raw: Mapping[str, Any]) -> Parameters:
    """Return the validated parameters.

    Raises:
        InputError: one sentence for the first mistake, naming the key, what was found and what was expected.
    """
    try:
        return Parameters.model_validate(raw)
    except ValidationError as error:
        raise InputError(sentence_of(error, Parameters)) from None
