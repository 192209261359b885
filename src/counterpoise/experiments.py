"""The named experiments: one row each, `kedro run --pipelines=<name>`.

A row only says which blocks of conf/base/parameters*.yml an experiment reads. To add one: write the row, and the blocks
that are not there yet (docs/adding-an-experiment.md). Rows may also stand in conf/ (`counterpoise.config.experiments`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

BLOCKS = {
    "dataset": "datasets",
    "network": "networks",
    "boosting": "boostings",
    "trees": "models",
    "model": "models",
    "backbone": "backbones",
    "convnet": "convnets",
    "penalty": "penalties",
    "variants": "variants",
    "pretrain": "pretrains",
    "finetune": "finetunes",
    "retrain": "retrains",
    "frontier": "frontiers",
    "objective": "objectives",
    "repairs": "repairs",
    "peers": "peer_sets",
    "evidence": "evidence",
}
"""What a row chooses → what the blocks of parameters that it chooses from are called together."""

Base = Literal["network", "trees", "tree_file", "model", "images"]

Choice = str | Mapping[str, Any]
"""The name of a block, or settings that are merged key by key over the experiment's block."""


@dataclass(frozen=True)
class Part:
    """One of several parts of an experiment: what it reads in the place of the experiment's block, or changes in it.

    Everything from the pretrained model to the models that are reported exists once for each part; the report is
    shared, and so are the rows unless the parts differ in their data.
    """

    name: str
    dataset: Choice | None = None
    network: Choice | None = None
    backbone: Choice | None = None
    penalty: Choice | None = None
    finetune: Choice | None = None
    objective: Choice | None = None

    @property
    def key(self) -> str:
        """The name as it stands in the catalog, where a dot means something else, and in paths."""
        return self.name.replace(".", "").replace("%", "")

    @property
    def overrides(self) -> dict[str, Mapping[str, Any]]:
        """The settings that are merged over the experiment's blocks, by kind of block."""
        chosen = {kind: getattr(self, kind, None) for kind in BLOCKS}
        return {kind: settings for kind, settings in chosen.items() if isinstance(settings, Mapping)}


@dataclass(frozen=True)
class Experiment:
    """One experiment. Every field but the name and title is the name of a block of parameters.

    Tables have a `network` or trees (`boosting`) that are trained here, or `trees` or another `model` of the user's
    that come trained, as the `backbone` of images does.
    With `variants`, its head is fine-tuned. With a `frontier`, bases of several kinds are repaired under a grid of
    penalties and compared with peers, and the tolerance chooses among them. `penalty` is that of pretraining. `retrain`
    fine-tunes whole networks beside the heads, and `peers` chooses other peers than the block that all frontiers read.
    Without `evidence` a report makes no claims. `view` is the figure that shows an experiment's parts side by side.

    With `repairs`, whole networks are repaired: perceptrons (`network`), for images a `convnet`. With an `objective`
    their weights are altered; without one, unbiased sub-networks are searched for.
    """

    name: str
    title: str
    dataset: str
    evidence: str | None = None
    variants: str | None = None
    network: str | None = None
    boosting: str | None = None
    trees: str | None = None
    model: str | None = None
    backbone: str | None = None
    convnet: str | None = None
    frontier: str | None = None
    repairs: str | None = None
    objective: str | None = None
    penalty: str = "none"
    pretrain: str | None = None
    finetune: str | None = None
    retrain: str | None = None
    peers: str | None = None
    parts: tuple[Part, ...] = ()
    view: Literal["parts", "ablation", "representation"] | None = None

    def divides(self, kind: str) -> bool:
        """Whether the parts differ in blocks of a kind."""
        return any(getattr(part, kind, None) is not None for part in self.parts)

    @property
    def base(self) -> Base:
        """What is frozen, or repaired: a backbone or whole network of images; of tables a network, trees or a model."""
        if self.images:
            return "images"
        return "tree_file" if self.trees else "model" if self.model else "trees" if self.boosting else "network"

    @property
    def images(self) -> bool:
        """Whether the data are images, not a table."""
        return self.backbone is not None or self.convnet is not None or self.divides("backbone")


FACES = (("celeba", "CelebA", "hair"), ("lfwa", "LFW+a", "gender"))
"""Data sets of faces, their titles, and what their classifiers predict."""

TABLES = (
    ("compas", "compas_frontier", "new charges"),
    ("law", "law", "bar exams"),
    ("credit", "credit", "credit card holders"),
    ("german", "german", "loans"),
)
"""Tables with a frontier, beside Adult: names of their experiments, of their blocks, and what is classified."""

RACE = {
    "sensitive": "race",
    "groups": [["Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other"], "White"],
    "group_names": ["other", "White"],
}

SKEWS = tuple(
    Part(name, dataset={"split": {"skew": skew}}) for name, skew in (("80%", 0.8), ("90%", 0.9), ("99%", 0.99))
)
"""Shares of a class's training images that are in its majority domain."""

_income = partial(Experiment, dataset="adult", network="mlp2", variants="win")
_priced = partial(Experiment, dataset="adult", evidence="frontier_adult")
_skewed = partial(Experiment, dataset="cifar10s", convnet="small_images", pretrain="images", objective="domains")


def _faces(name: str, title: str, evidence: str, **blocks: Any) -> Iterator[Experiment]:
    """Yield an experiment for each data set of faces, whose names stand in the place of {dataset}, {title}, {label}."""
    for dataset, spelling, label in FACES:
        name_of, title_of, evidence_of = (
            text.format(dataset=dataset, title=spelling, label=label) for text in (name, title, evidence)
        )
        yield Experiment(name_of, title_of, dataset, evidence_of, **{"backbone": "probe", "variants": "win", **blocks})


def _backbones(*names: str) -> tuple[Part, ...]:
    return tuple(Part(name, backbone=name) for name in names)


EXPERIMENTS = (
    _income(name="win_adult", title="Does WIN make a fine-tuned income classifier fairer?", evidence="win_adult"),
    Experiment(
        name="win_adult_boosted",
        title="Does WIN make fine-tuned boosted trees fairer?",
        dataset="adult",
        boosting="trees",
        variants="win",
        evidence="win_adult_boosted",
    ),
    *_faces("win_{dataset}", "Does WIN make a fine-tuned {label} classifier fairer?", "win_images"),
    *_faces(
        "win_{dataset}_imagenet",
        "Does WIN help where a low rank really truncates the head? (1000-way head, {title})",
        "win_images_imagenet",
        backbone="imagenet",
        variants="win_imagenet",
    ),
    _priced(name="frontier_adult", title="How fair can an income classifier be, and at what price?", frontier="tables"),
    _priced(
        name="frontier_adult_boosted",
        title="How fair can boosted trees be by other leaf values and rules alone?",
        frontier="boosted",
    ),
    *(
        Experiment(
            name=f"frontier_{name}",
            title=f"How fair can a classifier of {subject} be, and at what price?",
            dataset=dataset,
            frontier="tables",
            evidence=f"frontier_{name}",
        )
        for name, dataset, subject in TABLES
    ),
    *_faces(
        "frontier_{dataset}",
        "How fair can a {label} classifier be, and at what price?",
        "frontier_images",
        variants=None,
        frontier="images",
    ),
    _income(
        name="fair_pretrain_adult",
        title="Does a model that was pretrained to be fair stay fair?",
        evidence="fair_pretrain_adult",
        parts=(
            Part("biased"),
            Part("eo_0.1", penalty="eo_01"),
            Part("eo_0.5", penalty="eo_05"),
            Part("eo_0.9", penalty="eo_09"),
            Part("dp_0.1", penalty="dp_01"),
            Part("dp_0.5", penalty="dp_05"),
            Part("dp_0.9", penalty="dp_09"),
        ),
        view="parts",
    ),
    _income(
        name="inprocessing_adult",
        title="Is WIN as good as retraining the whole network under a penalty?",
        retrain="penalties",
        evidence="inprocessing_adult",
    ),
    _income(
        name="architectures_adult",
        title="Does the depth of the network change the answer? (MLP-2 to MLP-5, Adult)",
        evidence="architectures_adult",
        parts=tuple(Part(f"mlp{layers}", network=f"mlp{layers}") for layers in (2, 3, 4, 5)),
        view="parts",
    ),
    # WIN, Table 4: these weights are downloads, the next ones packages
    *_faces(
        "architectures_{dataset}",
        "Does the backbone change the answer? ({title})",
        "architectures_{dataset}",
        parts=_backbones("resnet18", "resnet50", "densenet121"),
        view="parts",
    ),
    *_faces(
        "architectures_{dataset}_lite",
        "Does the backbone change the answer? ({title}, EfficientNet-Lite0 to 2)",
        "architectures_lite",
        parts=_backbones("lite0", "lite1", "lite2"),
        view="parts",
    ),
    *(
        Experiment(
            name=f"ablation_{dataset}",
            title=f"What do α, the rank and the optimiser change? ({title})",
            dataset=dataset,
            network="mlp2" if dataset == "adult" else None,
            backbone=None if dataset == "adult" else "probe",
            variants="ablation",
            evidence="ablation",
            parts=(Part("adam"), Part("sgd", finetune="sgd")),
            view="ablation",
        )
        for dataset, title, _ in (("adult", "Adult", "income"), *FACES)
    ),
    _income(
        name="representation_adult",
        title="What does the head see of the people it predicts to earn more?",
        variants="tl",
        evidence="representation_adult",
        parts=(Part("biased"), Part("eo_0.9", penalty="eo_09")),
        view="representation",
    ),
    Experiment(
        name="alter_adult",
        title="Can a trained income classifier be repaired by altering its weights?",
        dataset="adult_protected",
        network="mlp12",
        pretrain="deep",
        repairs="tables",
        evidence="alter_adult",
        parts=(
            Part("sex", dataset={"sensitive": "sex", "group_names": ["women", "men"]}, objective="aod"),
            Part("race", dataset=RACE, objective="spd"),
        ),
    ),
    Experiment(
        name="alter_compas",
        title="Can a trained recidivism classifier be repaired by altering its weights?",
        dataset="compas",
        network="mlp12",
        pretrain="deep_small",
        repairs="tables",
        objective="eod",
        evidence="alter_compas",
    ),
    _skewed(
        name="alter_cifar10s",
        title="Can a network that was trained on skewed images be repaired by altering its weights?",
        repairs="images",
        evidence="alter_cifar10s",
    ),
    _skewed(
        name="alter_cifar10s_skew",
        title="Does the repair work at every skew of the images?",
        repairs="skew",
        evidence="alter_cifar10s_skew",
        parts=SKEWS,
    ),
    Experiment(
        name="alter_celeba",
        title="Can a trained classifier of faces be repaired by altering its weights?",
        dataset="celeba_pixels",
        convnet="faces",
        pretrain="images",
        repairs="faces",
        objective="spd",
        evidence="alter_celeba",
        parts=(
            Part("smiling", dataset={"label": "Smiling", "classes": ["not smiling", "smiling"]}),
            Part("young", dataset={"label": "Young", "classes": ["not young", "young"]}),
        ),
    ),
    _skewed(
        name="teacher_prune_cifar10s",
        title="Can an unfair network become fair by pruning alone?",
        repairs="teacher",
        evidence="teacher_prune_cifar10s",
        parts=SKEWS,
    ),
    Experiment(
        name="ffw_biased_mnist",
        title="Does a network that learnt colours contain a sub-network that reads digits? (Biased-MNIST)",
        dataset="biased_mnist",
        convnet="digits",
        pretrain="biased_digits",
        repairs="digits",
        evidence="ffw_biased_mnist",
        parts=tuple(
            Part(f"{aligned}%", dataset={"split": {"rho": rho}})
            for aligned, rho in (("99.0", 0.99), ("99.5", 0.995), ("99.7", 0.997))
        ),
    ),
    Experiment(
        name="ffw_multicolor_mnist",
        title="Does a network with two biases contain a sub-network without them? (Multi-Color MNIST)",
        dataset="multicolor_mnist",
        convnet="pixels",
        pretrain="biased_digits",
        repairs="digits",
        evidence="ffw",
    ),
    Experiment(
        name="ffw_corrupted_cifar10",
        title="Does a network that learnt corruptions contain a sub-network that sees objects? (Corrupted CIFAR10)",
        dataset="corrupted_cifar10",
        convnet="corrupted_images",
        pretrain="corrupted_images",
        repairs="biased_images",
        evidence="ffw_corrupted_cifar10",
        parts=tuple(
            Part(f"{conflicting}%", dataset={"split": {"rho": rho}})
            for conflicting, rho in (("0.5", 0.995), ("1.0", 0.99), ("2.0", 0.98), ("5.0", 0.95))
        ),
    ),
    Experiment(
        name="ffw_celeba",
        title="Does a classifier of blond hair contain a sub-network that does not rely on sex?",
        dataset="celeba_blond",
        convnet="faces",
        pretrain="biased_images",
        repairs="biased_images",
        evidence="ffw",
    ),
)

DEFAULT = "win_adult"

RESERVED = frozenset(
    {
        *("__default__", "report_all", "extract_features", "read_pixels", "data_split", "data_audit", "pretrain"),
        *("group_fisher", "weighted_svd", "finetune", "frontier", "peers", "select", "repair", "fairness_report"),
        *("retrain", "retraining", "monitor", "rollback"),
    }
)
"""Names of stages, which are tags of nodes too, and of pipelines that are no experiments."""

FETCHABLE = ("celeba", "compas", "lfwa")
"""Data sets with a pipeline `fetch_<dataset>`."""
RAW_FOLDERS = {
    "adult_protected": "adult",
    "biased_mnist": "mnist",
    **dict.fromkeys(("celeba_blond", "celeba_pixels"), "celeba"),
    "cifar10s": "cifar10",
    "compas_frontier": "compas",
    "corrupted_cifar10": "cifar10",
    "lfwa": "lfw",
    "multicolor_mnist": "mnist",
}
"""Blocks of `datasets` → the folder of their raw files, where it is not called as the block is."""


def raw_folder(dataset: str) -> str:
    """Return the folder under data/01_raw that holds the raw files of a data set."""
    return RAW_FOLDERS.get(dataset, dataset)
