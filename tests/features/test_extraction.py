"""The pass over the images: right rows, once, the same everywhere, and never half a result."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from counterpoise.data.images import Decoded, ImageFiles
from counterpoise.errors import InputError
from counterpoise.features import extraction
from counterpoise.features import files as feature_files
from counterpoise.features.backbones import Backbone, backbone
from counterpoise.features.extraction import Progress, _streamed, _Work, extract_features, features_digest
from counterpoise.features.files import FeatureFile, Shard, join_shards, load_shard

pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra 'offline-weights'")

IMAGES = 50
SETTINGS: dict[str, Any] = {"shard_size": 16, "batch_size": 8, "precision": "float32", "device": "cpu"}


def draw_images(folder: Path, count: int, seed: int = 0) -> ImageFiles:
    folder.mkdir()
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 30, 24, 3), dtype=np.uint8)
    names = [f"{number:04d}.png" for number in range(count)]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(folder / name)
    return ImageFiles(folder, names)


@pytest.fixture
def images(tmp_path: Path) -> ImageFiles:
    return draw_images(tmp_path / "images", IMAGES)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def network() -> Backbone:
    """A real architecture with random weights, on images of 32 × 32."""
    return backbone("efficientnet_lite0", "random", size=32)


class Counting(ImageFiles):
    """Knows which rows were decoded; for passes in this process."""

    def __init__(self, images: ImageFiles) -> None:
        super().__init__(images.folder, images.names)
        self.decoded: list[int] = []

    def __getitem__(self, row: int) -> Decoded:
        self.decoded.append(row)
        return super().__getitem__(row)


def in_memory(images: ImageFiles, network: Backbone, batch_size: int) -> Tensor:
    """What a plain loop computes, a batch at a time and nothing else."""
    frames = torch.stack([network.preprocess.frame(torch.as_tensor(image.pixels)) for image in images])
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in frames.split(batch_size)])


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_features_are_those_of_a_plain_loop_to_the_bit(
    backend: str, images: ImageFiles, cache: Path, network: Backbone
) -> None:
    found = extract_features(images, network, cache=cache, backend=backend, **SETTINGS)
    assert found.array().dtype == np.float32
    assert found.array().shape == (IMAGES, network.d)
    assert torch.equal(found.tensor(), in_memory(images, network, SETTINGS["batch_size"]))


def test_decoding_ahead_in_workers_changes_nothing(images: ImageFiles, network: Backbone) -> None:
    """The path that feeds a GPU; shards and batches that do not divide each other included."""
    work = _Work(images, network, 7, "float32", torch.device("cpu"))
    spans = [range(20), range(20, 40), range(45, 50)]
    shards = list(_streamed(work, spans, decoders=2))
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 20), (20, 40), (45, 50)]
    alone = [next(_streamed(work, [span], decoders=0)) for span in spans]
    assert all(torch.equal(one.features, other.features) for one, other in zip(shards, alone, strict=True))


def test_a_second_call_does_not_run_the_network(images: ImageFiles, cache: Path, network: Backbone) -> None:
    class Untouchable(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            raise AssertionError("the network was run")

    first = extract_features(images, network, cache=cache, backend="serial", **SETTINGS)
    again = Counting(images)
    second = extract_features(again, replace(network, module=Untouchable()), cache=cache, **SETTINGS)
    assert second == first
    assert again.decoded == []


def test_whatever_shapes_the_features_is_in_their_digest(images: ImageFiles, cache: Path, network: Backbone) -> None:
    def digest(dataset: ImageFiles = images, backbone: Backbone = network, **settings: Any) -> str:
        return features_digest(dataset, backbone, cache=cache, **SETTINGS | settings)

    original = digest()
    assert digest() == original
    changed = {
        "precision": digest(precision="bfloat16"),
        "device": digest(device="cuda"),
        "batches": digest(batch_size=16),
        "shards": digest(shard_size=32),
        "network": digest(backbone=replace(network, digest="another")),
        "decoding": digest(ImageFiles(images.folder, images.names, value_range=(0.0, 4095.0))),
        "order": digest(ImageFiles(images.folder, images.names[::-1])),
        "fewer": digest(ImageFiles(images.folder, images.names[1:])),
    }
    victim = images.folder / str(images.names[7])
    contents = victim.read_bytes()
    victim.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))  # same size, one bit
    changed["bit"] = digest()
    victim.unlink()
    changed["absent"] = digest()
    assert len({original, *changed.values()}) == 1 + len(changed)
    victim.write_bytes(contents)
    assert digest() == original


def test_moving_or_touching_the_images_changes_nothing(images: ImageFiles, cache: Path, network: Backbone) -> None:
    before = features_digest(images, network, cache=cache, **SETTINGS)
    os.utime(images.folder / str(images.names[0]))
    moved = ImageFiles(images.folder.rename(images.folder.with_name("elsewhere")), images.names)
    assert features_digest(moved, network, cache=cache, **SETTINGS) == before


def test_unchanged_files_are_not_read_again(images: ImageFiles, cache: Path, network: Backbone) -> None:
    before = features_digest(images, network, cache=cache, **SETTINGS)
    victim = images.folder / str(images.names[0])
    status = victim.stat()
    victim.write_bytes(b"x" * status.st_size)
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert features_digest(images, network, cache=cache, **SETTINGS) == before


def test_a_killed_pass_resumes_after_its_last_finished_shard(
    images: ImageFiles, cache: Path, network: Backbone
) -> None:
    def die_half_way(progress: Progress) -> None:
        if progress.done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(images, network, cache=cache, backend="serial", on_progress=die_half_way, **SETTINGS)
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    assert sorted(path.name for path in folder.iterdir()) == ["shard-00000.safetensors", "shard-00001.safetensors"]

    resumed = Counting(images)
    seen: list[Progress] = []
    found = extract_features(resumed, network, cache=cache, backend="serial", on_progress=seen.append, **SETTINGS)
    assert resumed.decoded == list(range(32, IMAGES))
    assert [progress.done for progress in seen] == [32, 48, IMAGES]
    assert seen[-1].seconds_left == 0
    assert torch.equal(found.tensor(), in_memory(images, network, SETTINGS["batch_size"]))
    assert sorted(path.name for path in folder.iterdir()) == ["features.json", "features.npy"]


@pytest.mark.parametrize("damage", ["truncated", "another size"])
def test_a_shard_that_does_not_fit_is_computed_again(
    damage: str, images: ImageFiles, cache: Path, network: Backbone
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(images, network, cache=cache, backend="serial", on_progress=stop, **SETTINGS)
    (shard,) = cache.glob("*/shard-*")
    settings = SETTINGS
    if damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:-10])
    else:
        settings = SETTINGS | {"shard_size": 24}
    again = Counting(images)
    found = extract_features(again, network, cache=cache, backend="serial", **settings)
    assert again.decoded == list(range(IMAGES))
    assert torch.equal(found.tensor(), in_memory(images, network, SETTINGS["batch_size"]))


def test_another_run_may_finish_while_this_one_computes(images: ImageFiles, cache: Path, network: Backbone) -> None:
    others: list[FeatureFile] = []

    def let_another_run_finish(progress: Progress) -> None:
        if progress.done == 32:
            others.append(extract_features(images, network, cache=cache, backend="serial", **SETTINGS))

    settings = SETTINGS | {"on_progress": let_another_run_finish}
    found = extract_features(images, network, cache=cache, backend="serial", **settings)
    assert others == [found]
    assert torch.equal(found.tensor(), in_memory(images, network, SETTINGS["batch_size"]))
    assert sorted(path.name for path in found.path.parent.iterdir()) == ["features.json", "features.npy"]


def test_another_run_may_remove_the_shards_while_this_one_joins_them(
    images: ImageFiles, cache: Path, network: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    joining: list[bool] = []

    def join_twice(*arguments: Any, **settings: Any) -> FeatureFile:
        def load(path: Path, rows: range, d: int) -> Shard | None:
            if rows.start == 16 and not joining:
                joining.append(True)
                join_shards(*arguments, **settings)
            return load_shard(path, rows, d)

        monkeypatch.setattr(feature_files, "load_shard", load)
        return join_shards(*arguments, **settings)

    monkeypatch.setattr(extraction, "join_shards", join_twice)
    found = extract_features(images, network, cache=cache, backend="serial", **SETTINGS)
    assert joining
    assert torch.equal(found.tensor(), in_memory(images, network, SETTINGS["batch_size"]))
    assert sorted(path.name for path in found.path.parent.iterdir()) == ["features.json", "features.npy"]


def test_a_shard_that_is_gone_with_no_array_in_its_place_is_an_error(tmp_path: Path) -> None:
    lost = tmp_path / "shard-00000.safetensors"
    with pytest.raises(InputError, match=f"{lost}: is gone or damaged"):
        join_shards(tmp_path, {lost: range(4)}, digest="0", d=2, backbone="none", precision="float32")
    assert list(tmp_path.iterdir()) == []


def test_bad_images_are_named_and_do_not_touch_their_neighbours(
    images: ImageFiles, cache: Path, network: Backbone
) -> None:
    whole = extract_features(images, network, cache=cache, backend="serial", **SETTINGS).tensor().clone()
    corrupt, missing = str(images.names[3]), str(images.names[20])
    (images.folder / corrupt).write_bytes(b"not an image")
    (images.folder / missing).unlink()
    found = extract_features(images, network, cache=cache, backend="serial", **SETTINGS)
    assert found.bad == {corrupt: "not an image", missing: "No such file or directory"}
    assert extract_features(images, network, cache=cache, **SETTINGS).bad == found.bad  # also from the cache
    good = torch.ones(IMAGES, dtype=torch.bool)
    good[[3, 20]] = False
    assert found.tensor()[~good].isnan().all()
    assert torch.equal(found.tensor()[good], whole[good])


def test_features_are_mapped_and_the_file_cannot_be_changed(images: ImageFiles, cache: Path, network: Backbone) -> None:
    found = extract_features(images, network, cache=cache, backend="serial", **SETTINGS)
    assert isinstance(found.array(), np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.array()[0, 0] = 1
    before = found.array()[0, 0].item()
    found.tensor()[0, 0] = before + 1
    assert found.array()[0, 0].item() == before


def test_bfloat16_is_near_float32_and_kept_apart(images: ImageFiles, cache: Path, network: Backbone) -> None:
    exact = extract_features(images, network, cache=cache, backend="serial", **SETTINGS)
    rounded = extract_features(images, network, cache=cache, backend="serial", **SETTINGS | {"precision": "bfloat16"})
    assert rounded.path != exact.path
    difference = (rounded.tensor() - exact.tensor()).norm() / exact.tensor().norm()
    assert 0 < difference < 0.05


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({}, "float32"), ({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16")],
)
def test_auto_precision_follows_the_hardware(
    capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert extraction.resolve_precision("auto", torch.device("cpu")) == expected


def test_a_pass_leaves_the_global_generator_alone(images: ImageFiles, cache: Path, network: Backbone) -> None:
    before = torch.get_rng_state()
    extract_features(images, network, cache=cache, backend="serial", **SETTINGS)
    assert torch.equal(torch.get_rng_state(), before)


def test_unusable_settings_are_one_sentence(images: ImageFiles, tmp_path: Path, network: Backbone) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match=r"cannot be written .*expected space and a writable folder"):
        extract_features(images, network, cache=file / "cache", **SETTINGS)
    for setting, message in {
        "precision": "precision: found 'nonsense', expected one of auto, float32, bfloat16",
        "device": "device: found 'nonsense', expected one of auto, cpu, cuda",
        "backend": "compute.backend: found 'nonsense'",
    }.items():
        with pytest.raises(InputError, match=message):
            extract_features(images, network, cache=tmp_path / "cache", **SETTINGS | {setting: "nonsense"})
    with pytest.raises(InputError, match="batch_size: found 0, expected at least 1"):
        extract_features(images, network, cache=tmp_path / "cache", **SETTINGS | {"batch_size": 0})
    with pytest.raises(InputError, match="images: found 0, expected at least 1"):
        extract_features(ImageFiles(images.folder, []), network, cache=tmp_path / "cache", **SETTINGS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(images: ImageFiles, cache: Path, network: Backbone) -> None:
    with pytest.raises(InputError, match="no usable GPU"):
        extract_features(images, network, cache=cache, **SETTINGS | {"device": "cuda"})


def test_a_cluster_computes_the_same_bits_and_survives_the_death_of_a_worker(
    tmp_path: Path, network: Backbone, cluster: Any
) -> None:
    cluster.add_worker()
    cluster.wait_for_workers(2)
    images = draw_images(tmp_path / "many", 200)
    local = extract_features(images, network, cache=tmp_path / "local", backend="serial", **SETTINGS)
    settings = SETTINGS | {"backend": "dask", "address": cluster.address}
    both = extract_features(images, network, cache=tmp_path / "both", **settings)
    assert torch.equal(both.tensor(), local.tensor())

    def kill_one(progress: Progress) -> None:
        if progress.done and cluster.workers[0].poll() is None:
            assert progress.done < progress.total
            cluster.kill(0)

    survivor = extract_features(images, network, cache=tmp_path / "one", on_progress=kill_one, **settings)
    assert cluster.workers[0].returncode == -signal.SIGKILL
    assert torch.equal(survivor.tensor(), local.tensor())
