"""The named experiments: one row each, `kedro run --pipelines=<name>`.

A row only says which blocks of conf/base/parameters*.yml an experiment reads. To add one: write the row, and the blocks
that are not there yet (docs/adding-an-experiment.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Part:
    """One of several parts of an experiment: what it reads in the place of the experiment's own block.

    Everything from the pretrained model to the models that are reported exists once for each part; the report is
    shared, and so are the rows unless the part has a data set of its own.
    """

    name: str
    dataset: str | None = None
    network: str | None = None
    backbone: str | None = None
    penalty: str | None = None
    finetune: str | None = None
    objective: str | None = None

    @property
    def key(self) -> str:
        """The name as it stands in the catalog, where a dot means something else, and in paths."""
        return self.name.replace(".", "").replace("%", "")


@dataclass(frozen=True)
class Experiment:
    """One experiment. Every field but the name and title is the name of a block of parameters.

    Tables have a `network` that is trained here; images have a `backbone` that comes trained. With a `frontier`, the
    heads are trained under a grid of penalties and compared with peers, and the tolerance chooses among them. `penalty`
    is that of pretraining. `retrain` fine-tunes whole networks beside the heads. `view` is the figure that shows an
    experiment's parts side by side.

    With `altering`, whole networks are repaired under an `objective`: perceptrons (`network`), for images a `convnet`.
    With `subnetworks`, unbiased parts of a `convnet` are looked for.
    """

    name: str
    title: str
    dataset: str
    evidence: str
    variants: str | None = None
    network: str | None = None
    backbone: str | None = None
    convnet: str | None = None
    frontier: str | None = None
    repairs: str | None = None
    objective: str | None = None
    penalty: str = "none"
    pretrain: str | None = None
    finetune: str | None = None
    retrain: str | None = None
    parts: tuple[Part, ...] = ()
    view: Literal["parts", "ablation", "representation"] | None = None


TABLE_4 = tuple(Part(name, backbone=name) for name in ("resnet18", "resnet50", "densenet121"))
"""The backbones of the WIN paper's Table 4, whose weights are downloads."""

LITES = tuple(Part(name, backbone=name) for name in ("lite0", "lite1", "lite2"))
"""Three backbones whose weights are packages."""

EXPERIMENTS = (
    Experiment(
        name="win_adult",
        title="Does WIN make a fine-tuned income classifier fairer?",
        dataset="adult",
        network="mlp2",
        variants="win",
        evidence="win_adult",
    ),
    Experiment(
        name="win_celeba",
        title="Does WIN make a fine-tuned hair classifier fairer?",
        dataset="celeba",
        backbone="probe",
        variants="win",
        evidence="win_images",
    ),
    Experiment(
        name="win_lfwa",
        title="Does WIN make a fine-tuned gender classifier fairer?",
        dataset="lfwa",
        backbone="probe",
        variants="win",
        evidence="win_images",
    ),
    Experiment(
        name="win_celeba_imagenet",
        title="Does WIN help where the head is truncated for real? (1000-way head, CelebA)",
        dataset="celeba",
        backbone="imagenet",
        variants="win_imagenet",
        evidence="win_images_imagenet",
    ),
    Experiment(
        name="win_lfwa_imagenet",
        title="Does WIN help where the head is truncated for real? (1000-way head, LFW+a)",
        dataset="lfwa",
        backbone="imagenet",
        variants="win_imagenet",
        evidence="win_images_imagenet",
    ),
    Experiment(
        name="frontier_adult",
        title="How fair can an income classifier be, and at what price?",
        dataset="adult",
        network="mlp2",
        variants="win",
        frontier="tables",
        evidence="frontier_adult",
    ),
    Experiment(
        name="frontier_celeba",
        title="How fair can a hair classifier be, and at what price?",
        dataset="celeba",
        backbone="probe",
        variants="win",
        frontier="images",
        evidence="frontier_images",
    ),
    Experiment(
        name="frontier_lfwa",
        title="How fair can a gender classifier be, and at what price?",
        dataset="lfwa",
        backbone="probe",
        variants="win",
        frontier="images",
        evidence="frontier_images",
    ),
    Experiment(
        name="fair_pretrain_adult",
        title="Does a model that was pretrained to be fair stay fair?",
        dataset="adult",
        network="mlp2",
        variants="win",
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
    Experiment(
        name="inprocessing_adult",
        title="Does WIN reach what retraining the whole network under a penalty reaches?",
        dataset="adult",
        network="mlp2",
        variants="win",
        retrain="penalties",
        evidence="inprocessing_adult",
    ),
    Experiment(
        name="architectures_adult",
        title="Does the depth of the network change the answer? (MLP-2 to MLP-5, Adult)",
        dataset="adult",
        network="mlp2",
        variants="win",
        evidence="architectures_adult",
        parts=tuple(Part(f"mlp{layers}", network=f"mlp{layers}") for layers in (2, 3, 4, 5)),
        view="parts",
    ),
    Experiment(
        name="architectures_celeba",
        title="Does the backbone change the answer? (CelebA)",
        dataset="celeba",
        backbone="probe",
        variants="win",
        evidence="architectures_celeba",
        parts=TABLE_4,
        view="parts",
    ),
    Experiment(
        name="architectures_lfwa",
        title="Does the backbone change the answer? (LFW+a)",
        dataset="lfwa",
        backbone="probe",
        variants="win",
        evidence="architectures_lfwa",
        parts=TABLE_4,
        view="parts",
    ),
    Experiment(
        name="architectures_celeba_lite",
        title="Does the backbone change the answer? (CelebA, EfficientNet-Lite0 to 2)",
        dataset="celeba",
        backbone="probe",
        variants="win",
        evidence="architectures_lite",
        parts=LITES,
        view="parts",
    ),
    Experiment(
        name="architectures_lfwa_lite",
        title="Does the backbone change the answer? (LFW+a, EfficientNet-Lite0 to 2)",
        dataset="lfwa",
        backbone="probe",
        variants="win",
        evidence="architectures_lite",
        parts=LITES,
        view="parts",
    ),
    Experiment(
        name="ablation_adult",
        title="What do α, the rank and the optimiser change? (Adult)",
        dataset="adult",
        network="mlp2",
        variants="ablation",
        evidence="ablation",
        parts=(Part("adam"), Part("sgd", finetune="sgd")),
        view="ablation",
    ),
    Experiment(
        name="ablation_celeba",
        title="What do α, the rank and the optimiser change? (CelebA)",
        dataset="celeba",
        backbone="probe",
        variants="ablation",
        evidence="ablation",
        parts=(Part("adam"), Part("sgd", finetune="sgd")),
        view="ablation",
    ),
    Experiment(
        name="ablation_lfwa",
        title="What do α, the rank and the optimiser change? (LFW+a)",
        dataset="lfwa",
        backbone="probe",
        variants="ablation",
        evidence="ablation",
        parts=(Part("adam"), Part("sgd", finetune="sgd")),
        view="ablation",
    ),
    Experiment(
        name="representation_adult",
        title="What does the head see of the people it predicts to earn more?",
        dataset="adult",
        network="mlp2",
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
            Part("sex", dataset="adult_sex", objective="aod"),
            Part("race", dataset="adult_race", objective="spd"),
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
    Experiment(
        name="alter_cifar10s",
        title="Can a network that was trained on skewed images be repaired by altering its weights?",
        dataset="cifar10s",
        convnet="small_images",
        pretrain="images",
        repairs="images",
        objective="domains",
        evidence="alter_cifar10s",
    ),
    Experiment(
        name="alter_cifar10s_skew",
        title="Does the repair work whatever the skew of the images?",
        dataset="cifar10s",
        convnet="small_images",
        pretrain="images",
        repairs="skew",
        objective="domains",
        evidence="alter_cifar10s_skew",
        parts=tuple(Part(f"{skew}%", dataset=f"cifar10s_{skew}") for skew in (80, 90, 99)),
    ),
    Experiment(
        name="alter_celeba",
        title="Can a trained classifier of faces be repaired by altering its weights?",
        dataset="celeba_smiling",
        convnet="faces",
        pretrain="images",
        repairs="faces",
        objective="spd",
        evidence="alter_celeba",
        parts=(Part("smiling", dataset="celeba_smiling"), Part("young", dataset="celeba_young")),
    ),
    Experiment(
        name="teacher_prune_cifar10s",
        title="Can an unfair network become fair by leaving weights out, and nothing else?",
        dataset="cifar10s",
        convnet="small_images",
        pretrain="images",
        repairs="teacher",
        objective="domains",
        evidence="teacher_prune_cifar10s",
        parts=tuple(Part(f"{skew}%", dataset=f"cifar10s_{skew}") for skew in (80, 90, 99)),
    ),
    Experiment(
        name="ffw_biased_mnist",
        title="Does a network that learnt colours hold a part that reads digits? (Biased-MNIST)",
        dataset="biased_mnist",
        convnet="digits",
        pretrain="biased_digits",
        repairs="digits",
        evidence="ffw_biased_mnist",
        parts=tuple(
            Part(f"{rho}%", dataset=f"biased_mnist_{rho.replace('.', '')}") for rho in ("99.0", "99.5", "99.7")
        ),
    ),
    Experiment(
        name="ffw_multicolor_mnist",
        title="Does a network with two biases hold a part without them? (Multi-Color MNIST)",
        dataset="multicolor_mnist",
        convnet="pixels",
        pretrain="biased_digits",
        repairs="digits",
        evidence="ffw",
    ),
    Experiment(
        name="ffw_corrupted_cifar10",
        title="Does a network that learnt corruptions hold a part that sees objects? (Corrupted CIFAR10)",
        dataset="corrupted_cifar10_05",
        convnet="corrupted_images",
        pretrain="corrupted_images",
        repairs="biased_images",
        evidence="ffw_corrupted_cifar10",
        parts=tuple(
            Part(f"{skew}%", dataset=f"corrupted_cifar10_{skew.replace('.', '')}")
            for skew in ("0.5", "1.0", "2.0", "5.0")
        ),
    ),
    Experiment(
        name="ffw_celeba",
        title="Does a classifier of blond hair hold a part that does not look at the sex?",
        dataset="celeba_blond",
        convnet="faces",
        pretrain="biased_images",
        repairs="biased_images",
        evidence="ffw",
    ),
)

DEFAULT = "win_adult"

FETCHABLE = ("celeba", "compas", "lfwa")
"""Data sets with a pipeline `fetch_<dataset>`."""
