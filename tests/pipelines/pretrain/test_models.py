"""A user's network of a table: its features, its head in all replicates, and its state dict after a repair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from drawn import loans
from torch import nn

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.catalogue import CHOSEN
from counterpoise.config.models import MlflowFolder, SklearnFile, TorchModule
from counterpoise.config.parameters import Block, Compute, Seeds
from counterpoise.errors import InputError
from counterpoise.methods.bases.ground import margins
from counterpoise.methods.frontier import Frontier
from counterpoise.pipelines.pretrain.models import read_model, train_bases_on_head
from counterpoise.pipelines.select.trained import repaired_state
from counterpoise.pipelines.shared.bases import read_bases
from counterpoise.pipelines.shared.heads import pretrained_head
from counterpoise.pipelines.shared.trained import Trained

CODE = """
import torch
from torch import nn

class Scorer(nn.Module):
    def __init__(self, outputs=1, sign=1.0):
        super().__init__()
        self.hidden, self.out = nn.Linear(2, 3), nn.Linear(3, outputs)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
            self.hidden.bias.zero_()
            self.out.bias.zero_()
            self.out.weight.copy_(sign * torch.linspace(-1, 1, outputs * 3).view(outputs, 3))

    def forward(self, x):
        return self.out(self.hidden(x).relu()).squeeze(-1)
"""
DATASET = loans()
N = 240
SEEDS = Seeds((0, 1))


@pytest.fixture
def samples() -> pd.DataFrame:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 2, generator=generator)
    y = (x[:, 1].relu() + 0.3 * torch.randn(N, generator=generator) > 0.3).long()
    s = torch.randint(2, (N,), generator=generator)
    return pd.DataFrame({"age": x[:, 0], "income": x[:, 1], "y": y, "s": s})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "user_scorer.py").write_text(CODE)
    return tmp_path


SPLITS = Checkpoint(
    {"splits": torch.stack([torch.arange(N) % 4, (torch.arange(N) + 1) % 4]).to(torch.uint8)},
    {"seeds": [0, 1], "digests": {}},
)


def block(**settings: Any) -> Block[Any]:
    return Block[Trained](TorchModule(module="user_scorer:Scorer", **settings))


def network(folder: Path, **arguments: Any) -> nn.Module:
    from counterpoise.features.modules import build

    return build("user_scorer:Scorer", arguments, folder).eval()


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_head_on_the_features_says_what_the_network_says(samples: pd.DataFrame, folder: Path, outputs: int) -> None:
    model = block(arguments={"outputs": outputs})
    pretrained, features = read_model(samples, SPLITS, folder, DATASET, model, SEEDS, samples)
    weight, bias = pretrained_head(pretrained)
    assert weight.shape == (2, 3, 2)
    logits = features.tensors["features"] @ weight[1] + bias[1]
    answer = network(folder, outputs=outputs)(torch.tensor(samples[["age", "income"]].to_numpy())).detach()
    margin = answer if outputs == 1 else answer[:, 1] - answer[:, 0]
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], margin, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_repaired_state_dict_has_the_chosen_head(samples: pd.DataFrame, folder: Path, outputs: int) -> None:
    model = block(arguments={"outputs": outputs})
    pretrained, features = read_model(samples, SPLITS, folder, DATASET, model, SEEDS, samples)
    frontier = Block[Frontier].model_validate(
        {"kinds": ["linear"], "strengths": [0], "folds": 0, "bias_scores": {"levels": [0.1]}}
    )
    bases = train_bases_on_head(
        samples, SPLITS, features, pretrained, DATASET, frontier, Compute(backend="serial"), SEEDS
    )
    ((first,), (second,)) = read_bases(bases, groups=2, classes=2)
    assert first.kind == second.kind == "frozen"
    head = second.head + torch.tensor([0.3, -0.2, 0.1, 0.5])
    chosen = Checkpoint({f"{CHOSEN}_heads.1.head": head}, {})
    selection = pd.DataFrame(
        [
            {"family": f"{CHOSEN}_heads", "seed": 1, "meets": True, "threshold": 0.4}
            | {"validation_err": 1.0, "validation_bias": 0.0}
        ]
    )
    state = repaired_state(samples, bases, chosen, selection, folder, DATASET, model, samples)
    repaired = network(folder, outputs=outputs)
    repaired.load_state_dict(state.tensors)
    x = torch.tensor(samples[["age", "income"]].to_numpy())
    answer = repaired(x).detach()
    margin = answer if outputs == 1 else answer[:, 1] - answer[:, 0]
    expected = margins(head, *second.base.view(features.tensors["features"])) - 0.4
    torch.testing.assert_close(margin, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arguments": {"outputs": 5}}, r"'out' has 5 outputs, expected 2, one for each class of loans, or one logit"),
        ({"arguments": {"sign": -1.0}}, r"user_scorer:Scorer: ranks 'yes' below 'no' \(an AUC of 0\.\d+ on 240 rows\)"),
        ({"columns": ("age",)}, r"fails on a sample of the shape \[240, 1\] \(.*mat1 and mat2 shapes cannot be multi"),
        ({"columns": ("age", "incme")}, r"the encoded table has no 'incme' \(did you mean 'income'\?\)"),
        ({"weights": "../scorer.pt"}, r"scorer\.pt: leads out of the folder of the model"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    samples: pd.DataFrame, folder: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_model(samples, SPLITS, folder, DATASET, block(**settings), SEEDS, samples)


def test_a_head_that_a_repair_cannot_be_written_into_ends_a_frontier_before_it_trains(
    samples: pd.DataFrame, folder: Path
) -> None:
    """Fine-tuning goes on without: its heads are not written back."""
    code = CODE.replace("            self.out.bias.zero_()\n", "            self.out.bias = None\n")
    (folder / "user_unbiased.py").write_text(code)
    model = Block[Trained](TorchModule(module="user_unbiased:Scorer"))
    pretrained, features = read_model(samples, SPLITS, folder, DATASET, model, SEEDS, samples)
    settings = {"kinds": ["linear"], "strengths": [0], "folds": 0, "bias_scores": {"levels": [0.1]}}
    frontier, serial = Block[Frontier].model_validate(settings), Compute(backend="serial")
    with pytest.raises(InputError, match="user_unbiased:Scorer: its last layer 'out' has no bias"):
        train_bases_on_head(samples, SPLITS, features, pretrained, DATASET, frontier, serial, SEEDS)


def test_columns_may_be_chosen_in_another_order(samples: pd.DataFrame, folder: Path) -> None:
    swapped = samples[["income", "age", "y", "s"]]
    _, features = read_model(samples, SPLITS, folder, DATASET, block(), SEEDS, samples)
    _, same = read_model(swapped, SPLITS, folder, DATASET, block(columns=("age", "income")), SEEDS, swapped)
    assert torch.equal(features.tensors["features"], same.tensors["features"])


def test_a_pipeline_of_scikit_learn_is_a_base(samples: pd.DataFrame, tmp_path: Path) -> None:
    """Its preprocessing sees the columns of the file, and its coefficients are the head of every replicate."""
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    raw = samples[["age", "income"]].mul(10).rename(columns={"age": "years"})
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(raw, samples["y"])
    skops.io.dump(estimator, tmp_path / "scorer.skops")
    model = Block[Trained](SklearnFile(sklearn="scorer.skops"))
    pretrained, features = read_model(samples, SPLITS, tmp_path, DATASET, model, SEEDS, raw)
    weight, bias = pretrained_head(pretrained)
    logits = features.tensors["features"] @ weight[0] + bias[0]
    expected = torch.tensor(estimator.predict_proba(raw), dtype=torch.float32)
    torch.testing.assert_close(logits.softmax(-1), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("uri", ["models:/scorer/3", "runs:/0a1b/model", "s3://bucket/model"])
def test_a_uri_is_refused_with_the_command_that_fetches_it(samples: pd.DataFrame, tmp_path: Path, uri: str) -> None:
    model = Block[Trained](MlflowFolder(mlflow=uri))
    with pytest.raises(InputError, match=rf"{uri}: is a URI, .* `mlflow artifacts download -u {uri} -d .*/model`"):
        read_model(samples, SPLITS, tmp_path, DATASET, model, SEEDS, samples)


@pytest.mark.parametrize("trust", [False, True])
def test_a_network_in_a_folder_of_mlflow(samples: pd.DataFrame, folder: Path, trust: bool) -> None:
    import yaml

    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]]))
        network[2].weight.copy_(torch.tensor([[1.0, 1.0, 0.1]]))
    (folder / "model" / "data").mkdir(parents=True)
    (folder / "model" / "MLmodel").write_text(yaml.safe_dump({"flavors": {"pytorch": {"model_data": "data"}}}))
    torch.save(network, folder / "model" / "data" / "model.pth")
    model = Block[Trained](MlflowFolder(mlflow="model", trust=trust))
    if not trust:
        with pytest.raises(InputError, match=r"model\.pth: is a pickle, .* expected `trust: true`"):
            read_model(samples, SPLITS, folder, DATASET, model, SEEDS, samples)
        return
    pretrained, features = read_model(samples, SPLITS, folder, DATASET, model, SEEDS, samples)
    weight, bias = pretrained_head(pretrained)
    logits = features.tensors["features"] @ weight[0] + bias[0]
    answer = network(torch.tensor(samples[["age", "income"]].to_numpy())).detach().flatten()
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], answer, atol=1e-5, rtol=1e-5)
