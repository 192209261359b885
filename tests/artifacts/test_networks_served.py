"""Networks that were repaired, pruned or frozen answer in MLflow as they do in torch: tables, and files of images."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from counterpoise.artifacts.compacted import CompactModel
from counterpoise.artifacts.networks_served import framed, image_head, perceptron_layers, servable
from counterpoise.artifacts.serving import Servable, ServableDataset, read_servable
from counterpoise.data.encoding import numbers
from counterpoise.data.images import decode
from counterpoise.nn import generators
from counterpoise.nn.builders import ResNetBuilder
from counterpoise.nn.compact import compact
from counterpoise.nn.networks import StackedNetwork
from counterpoise.nn.preprocessing import Preprocessing

COLUMNS = ["age", "priors", "sex"]
DESCRIBED = {"label": "answer", "experiment": "drawn", "metadata": {"variant": "drawn"}}
SIZE = 16


def loaded(model: Servable, folder: Path) -> Any:
    import mlflow.pyfunc

    ServableDataset(str(folder)).save(model)
    return mlflow.pyfunc.load_model(str(folder))


def perceptron(outputs: int, generator: torch.Generator) -> nn.Module:
    """A perceptron with statistics in its batch norms that are not those of no rows."""
    mean, scale = torch.tensor([[30.0, 2.0, 0.5]]), torch.tensor([[9.0, 1.5, 0.5]])
    network = StackedNetwork([3, 6, 5, outputs], generators=generators([3], "weights"), mean=mean, scale=scale).eval()
    for name, tensor in network.state().items():
        if name.startswith(("gamma", "running", "beta")):
            tensor.copy_(0.2 + torch.rand(tensor.shape, generator=generator))
    return compact(network)


@pytest.mark.parametrize("outputs", [1, 3])
def test_perceptrons_on_tables_need_no_torch(outputs: int, generator: torch.Generator, tmp_path: Path) -> None:
    module, classes = perceptron(outputs, generator), ("no", "yes") if outputs == 1 else ("a", "b", "c")
    x = torch.tensor([30.0, 2.0, 0.5]) + torch.randn(60, 3, generator=generator) * torch.tensor([9.0, 1.5, 0.5])
    with torch.no_grad():
        logits = module(x).double()
    threshold = float(logits.sigmoid().quantile(0.4)) if outputs == 1 else torch.nan
    rows = pd.DataFrame(x.numpy(), columns=COLUMNS).astype("float64")
    model = CompactModel("netaug", 3, module, classes, tuple(COLUMNS), threshold)
    served = loaded(servable(model, rows.head(), encoding=numbers(COLUMNS), **DESCRIBED), tmp_path / "model")
    answer = served.predict(rows)
    expected = logits.sigmoid()[:, 0] if outputs == 1 else logits.softmax(dim=1).amax(dim=1)
    assert answer["score"].to_numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    assert answer["prediction"].tolist() == [classes[k] for k in model.predict(x).tolist()]
    assert outputs == 3 or answer["prediction"].nunique() == 2
    assert "torch" not in (tmp_path / "model" / "requirements.txt").read_text()
    assert len(perceptron_layers(module)[0]) == 3


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    random = np.random.default_rng(0)
    pictures = []
    for mode, kind, size in (("RGB", "PNG", (20, 30)), ("RGB", "JPEG", (40, 24)), ("L", "PNG", (SIZE, SIZE))):
        shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).convert(mode).save(buffer, kind)
        pictures.append(buffer.getvalue())
    return pictures


def pixels_of(pictures: list[bytes], folder: Path, preprocess: Preprocessing) -> Tensor:
    """Decode and frame as a run does."""
    folder.mkdir()
    framed_pictures = []
    for number, picture in enumerate(pictures):
        (folder / f"{number}").write_bytes(picture)
        framed_pictures.append(preprocess.frame(decode(folder / f"{number}")))
    return torch.stack(framed_pictures)


@pytest.fixture(scope="module")
def network() -> CompactModel:
    module = compact(ResNetBuilder(outputs=1, seeds=(0,), width=4, accelerated=False)().eval())
    return CompactModel("netaug", 0, module, ("no", "yes"), (), 0.45)


@pytest.fixture(scope="module")
def folder(network: CompactModel, pictures: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of images in its folder; tests only read it."""
    path = tmp_path_factory.mktemp("models") / "model"
    example = pd.DataFrame({"image": pictures[:1]})
    ServableDataset(str(path)).save(servable(network, example, framing=framed(SIZE, SIZE), **DESCRIBED))
    return path


class TestImages:
    def test_answers_are_those_of_the_network_on_what_a_run_decodes(
        self, served: Any, network: CompactModel, pictures: list[bytes], tmp_path: Path
    ) -> None:
        pixels = pixels_of(pictures, tmp_path / "files", Preprocessing(SIZE, SIZE, mean=(0.0,) * 3, std=(1.0,) * 3))
        with torch.no_grad():
            expected = network.module(pixels.float()).double().sigmoid()[:, 0]
        answer = served.predict(pd.DataFrame({"image": pictures}))
        assert answer["score"].to_numpy() == pytest.approx(expected.numpy(), abs=1e-6)
        assert answer["prediction"].tolist() == [("no", "yes")[k] for k in network.predict(pixels).tolist()]

    def test_bytes_come_in_base64_by_http(self, served: Any, pictures: list[bytes]) -> None:
        from mlflow.pyfunc.scoring_server import infer_and_parse_data

        texts = [[base64.b64encode(picture).decode()] for picture in pictures]
        body = {"dataframe_split": {"columns": ["image"], "data": texts}}
        rows = infer_and_parse_data(body, served.metadata.get_input_schema())
        expected = served.predict(pd.DataFrame({"image": pictures}))
        pd.testing.assert_frame_equal(served.predict(rows), expected)

    def test_paths_are_read_within_the_folder_of_the_operator(
        self, served: Any, pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlflow.exceptions import MlflowException

        (tmp_path / "inside").mkdir()
        (tmp_path / "inside" / "a.png").write_bytes(pictures[0])
        (tmp_path / "b.png").write_bytes(pictures[0])
        with pytest.raises(MlflowException, match="neither base64 nor a path, for which COUNTERPOISE_IMAGES has to"):
            served.predict(pd.DataFrame({"image": ["a.png"]}))
        monkeypatch.setenv("COUNTERPOISE_IMAGES", str(tmp_path / "inside"))
        expected = served.predict(pd.DataFrame({"image": pictures[:1]}))
        pd.testing.assert_frame_equal(served.predict(pd.DataFrame({"image": ["a.png"]})), expected)
        texts = pd.DataFrame({"image": [base64.b64encode(pictures[0]).decode()]})
        pd.testing.assert_frame_equal(served.predict(texts), expected)
        for outside in ("../b.png", str(tmp_path / "b.png"), "none.png"):
            with pytest.raises(MlflowException, match="neither base64 nor a file within COUNTERPOISE_IMAGES"):
                served.predict(pd.DataFrame({"image": [outside]}))

    @pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
    def test_what_is_no_image_is_one_sentence(self, content: bytes, served: Any, pictures: list[bytes]) -> None:
        from mlflow.exceptions import MlflowException

        with pytest.raises(MlflowException, match=r"column 'image': row 1 is no image that can be read") as raised:
            served.predict(pd.DataFrame({"image": [pictures[0], content]}))
        assert raised.value.get_http_status_code() == 400

    def test_a_number_is_no_image(self, folder: Path, served: Any) -> None:
        from mlflow.exceptions import MlflowException

        with pytest.raises(MlflowException, match="found int in row 0, expected the bytes of an image file"):
            served.unwrap_python_model().predict(None, pd.DataFrame({"image": [3]}))

    def test_the_folder_is_read_again_and_needs_torch(self, folder: Path, network: CompactModel) -> None:
        again = read_servable(folder)
        assert again.images is not None
        assert again.columns == ("image",)
        names = [line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()]
        assert {"torch", "pillow"} <= set(names)
        assert not any(path.suffix in {".pt", ".pkl"} for path in folder.rglob("*"))


def test_a_head_on_a_backbone(pictures: list[bytes], generator: torch.Generator, tmp_path: Path) -> None:
    preprocess = Preprocessing(SIZE + 4, SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1), interpolation="bicubic")
    backbone = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)).eval()
    head = (torch.randn(5, 2, generator=generator), torch.randn(2, generator=generator))
    images = image_head(backbone, preprocess, 5, max_pixels=10_000, value_range=None)
    example = pd.DataFrame({"image": pictures[:1]})
    model = Servable({"columns": []}, (head,), ("no", "yes"), example=example, images=images, **DESCRIBED)
    answer = loaded(model, tmp_path / "model").predict(pd.DataFrame({"image": pictures}))
    pixels = pixels_of(pictures, tmp_path / "files", preprocess)
    with torch.no_grad():
        features = backbone(preprocess.normalize(pixels)).flatten(1)
    expected = (features.double() @ head[0].double() + head[1].double()).softmax(dim=1)[:, 1]
    assert answer["score"].to_numpy() == pytest.approx(expected.numpy(), abs=1e-6)
