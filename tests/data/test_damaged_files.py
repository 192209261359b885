"""Files with random damage: what comes out is the original, a bad image, or one sentence; never another error.

Where a format has a checksum, what comes out is never something else than the original.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from counterpoise import data
from counterpoise.data import celeba, lfw, mnist
from counterpoise.data.archives import extract
from counterpoise.data.generate.mnist import write_mnist
from counterpoise.data.images import ImageFiles
from counterpoise.data.pixels import open_images
from counterpoise.errors import InputError

MUTATIONS = 90
SEED = 20241125
LONGEST_SENTENCE = 800

Mutate = Callable[[bytes], bytes]


@pytest.fixture
def mutate() -> Mutate:
    """Flip a bit, cut the end off, zero, repeat, take out or overwrite a part."""
    draw = random.Random(SEED)

    def one(content: bytes) -> bytes:
        start = draw.randrange(len(content))
        stop = min(len(content), start + draw.choice([1, 2, 4, 16, 1000]))
        return draw.choice(
            [
                content[:start] + bytes([content[start] ^ 1 << draw.randrange(8)]) + content[start + 1 :],
                content[:start],
                content[:start] + bytes(stop - start) + content[stop:],
                content[:stop] + content[start:],
                content[:start] + content[stop:],
                content[:start] + draw.randbytes(stop - start) + content[stop:],
                content[:start] + b"\xff" * (stop - start) + content[stop:],
            ]
        )

    return one


def refusal(read: Callable[[], object]) -> str:
    """Return the sentence in which reading ends; nothing if it succeeds. Any other error fails the test."""
    try:
        read()
    except InputError as error:
        return str(error)
    return ""


def assert_sentences(sentences: list[str], *, at_least: int) -> None:
    refused = [sentence for sentence in sentences if sentence]
    assert len(refused) >= at_least
    assert all(len(sentence) <= LONGEST_SENTENCE and sentence.isprintable() for sentence in refused)


CONTENT = {"faces/a/1.jpg": b"one" * 50, "faces/b/2.jpg": random.Random(0).randbytes(700), "notes.txt": b""}


def archive_of(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind.startswith("zip"):
        with zipfile.ZipFile(
            buffer, "w", zipfile.ZIP_DEFLATED if kind == "zip deflated" else zipfile.ZIP_STORED
        ) as made:
            for name, content in CONTENT.items():
                made.writestr(zipfile.ZipInfo(name), content)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        for name, content in CONTENT.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    pack: dict[str, Callable[[bytes], bytes]] = {
        "tar": bytes,
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
    }
    return pack[kind](buffer.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "zip deflated", "gz", "bz2", "xz", "tar"])
def test_damaged_archives(tmp_path: Path, mutate: Mutate, kind: str) -> None:
    whole, archive, out = archive_of(kind), tmp_path / "archive", tmp_path / "out"
    sentences = []
    for _ in range(MUTATIONS):
        archive.write_bytes(mutate(whole))
        sentences.append(refusal(lambda: extract(archive, out)))
        unpacked = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        if sentences[-1]:
            assert unpacked == {}
        elif kind == "tar":  # headers have checksums, contents have none
            assert list(map(len, unpacked.values())) == [len(CONTENT[name]) for name in unpacked]
        else:
            assert unpacked == CONTENT
        shutil.rmtree(out)
    assert_sentences(sentences, at_least=MUTATIONS // 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive"]


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    write_mnist(tmp_path / "digits", train=2, test=1)
    return tmp_path / "digits"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_damaged_idx_files(digits: Path, mutate: Mutate, name: str, *, packed: bool) -> None:
    path = digits / mnist.RAW / name
    whole = path.read_bytes()
    table = mnist.read(digits)
    pixels = [image.pixels for image in open_images("biased_mnist", digits, table["image"])]
    if packed:
        path.unlink()
        path, whole = path.with_name(f"{name}.gz"), gzip.compress(whole)
    sentences = []
    for _ in range(MUTATIONS // 3):
        path.write_bytes(mutate(whole))

        def read() -> None:
            found = data.read("biased_mnist", digits)
            images = open_images("biased_mnist", digits, table["image"])
            if packed:
                assert set(found["image"]) == set(table["image"])
                assert all(torch.equal(image.pixels, one) for image, one in zip(images, pixels, strict=True))

        sentences.append(refusal(read))
    assert_sentences(sentences, at_least=MUTATIONS // 12)


SHAPES = [
    (0xFF, b"\xff" * 1020),
    (3, b"\xff\xff\xff\xff" * 3),
    (3, b"\0\0\0\0" * 3),
    (3, b"\x80\0\0\0\0\0\0\2\0\0\0\0"),
    (3, b"\0\1\0\0\0\1\0\0\0\1\0\0"),
    (0, b""),
]


@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_with_absurd_shapes(digits: Path, shape: tuple[int, bytes], *, packed: bool) -> None:
    path = digits / mnist.RAW / "train-images-idx3-ubyte"
    content = bytes([0, 0, 8, shape[0]]) + shape[1]
    path.unlink()
    path = path.with_name(f"{path.name}.gz") if packed else path
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InputError, match=r"truncated or altered|hold labels"):
        data.read("biased_mnist", digits)


def test_a_packed_idx_file_that_grows_is_refused(digits: Path) -> None:
    path = digits / mnist.RAW / "train-images-idx3-ubyte"
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(bytes(5_000_000)))
    limits = data.Limits(unpacked_bytes=1_000_000)
    with pytest.raises(
        InputError, match=r"ubyte\.gz: unpacks to .* expected at most 1,000,000 \(limits\.unpacked_bytes"
    ):
        data.read("biased_mnist", digits, limits=limits)
    with pytest.raises(InputError, match=r"limits\.unpacked_bytes"):
        open_images("biased_mnist", digits, [], limits=limits)
    with pytest.raises(InputError, match=r"limits\.file_bytes"):
        data.read("biased_mnist", digits, limits=data.Limits(file_bytes=100))


PICTURE = np.random.default_rng(1).integers(0, 256, (12, 10, 3), dtype=np.uint8)
CHECKED = {"png"}
"""Formats with a checksum over everything."""


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp", "ppm", "jp2", "avif", "tga", "deep png", "deep tiff"]
)
def test_damaged_images(tmp_path: Path, mutate: Mutate, suffix: str) -> None:
    kind, name = suffix.split()[-1], f"a.{suffix.split()[-1]}"
    picture = PICTURE[..., 0].astype(np.uint16) * 257 if suffix.startswith("deep") else PICTURE
    Image.fromarray(picture).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    images = ImageFiles(tmp_path, [name])
    original = images[0].pixels
    assert original is not None
    bad = 0
    for _ in range(MUTATIONS):
        (tmp_path / name).write_bytes(mutate(whole))
        image = images[0]  # whatever is wrong with the file, it is an item
        assert (image.pixels is None) == bool(image.reason)
        if image.pixels is not None:
            assert image.pixels.dtype == torch.uint8
            assert kind not in CHECKED or torch.equal(image.pixels, original)
        bad += image.pixels is None
    assert bad


def write_faces(folder: Path) -> None:
    """Write both data sets' attribute files for three images."""
    names = [f"{number}.jpg" for number in range(3)]
    people = [lfw.image_path("A B", number) for number in range(1, 4)]
    for path in (*(f"{celeba.IMAGES}/{name}" for name in names), *people):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    rows = ["3", "Male Smiling", *(f"{name}  1 -1" for name in names)]
    (folder / celeba.ATTRIBUTES).write_text("\n".join(rows) + "\n")
    (folder / celeba.PARTITION).write_text("".join(f"{name} {part}\n" for part, name in enumerate(names)))
    lines = ["\t".join(["#", *lfw.KEY, "Male", "Smiling"]), *(f"A B\t{number}\t1.5\t-0.25" for number in range(1, 4))]
    (folder / lfw.ATTRIBUTES).write_text("\n".join(lines) + "\n")


READERS = {
    "celeba": (celeba.ATTRIBUTES, {"max_bad_fraction": 1.0}),
    "celeba part": (celeba.PARTITION, {"partition": "train"}),
    "lfwa": (lfw.ATTRIBUTES, {"max_bad_fraction": 1.0}),
}


@pytest.mark.parametrize("case", READERS)
def test_damaged_attribute_files(tmp_path: Path, mutate: Mutate, case: str) -> None:
    write_faces(tmp_path)
    name, options = READERS[case]
    reader = case.split()[0]
    expected = data.read(reader, tmp_path, **options)
    whole = (tmp_path / name).read_bytes()
    sentences = []
    for _ in range(MUTATIONS):
        (tmp_path / name).write_bytes(mutate(whole))
        found: list[pd.DataFrame] = []
        sentences.append(refusal(lambda: found.append(data.read(reader, tmp_path, **options))))  # noqa: B023
        for table in found:
            assert len(table.columns) <= len(expected.columns) + 1
            assert table.drop(columns="image").isin([0, 1]).all(axis=None)
    assert_sentences(sentences, at_least=MUTATIONS // 4)


@pytest.mark.parametrize(
    ("reader", "file", "before", "after"),
    [
        ("celeba", celeba.ATTRIBUTES, "3\n", "9" * 5000 + "\n"),
        ("celeba", celeba.ATTRIBUTES, "3\n", "0" * 5000 + "\n"),
        ("celeba", celeba.ATTRIBUTES, "1 -1", "9" * 5000 + " -1"),
        ("celeba", celeba.ATTRIBUTES, "0.jpg", "x" * 5000),
        ("celeba", celeba.ATTRIBUTES, "0.jpg", "../../0.jpg"),
        ("celeba", celeba.ATTRIBUTES, "0.jpg", "../../../../etc/passwd"),
        ("lfwa", lfw.ATTRIBUTES, "\t1\t", "\t" + "9" * 5000 + "\t"),
        ("lfwa", lfw.ATTRIBUTES, "-0.25", "9" * 5000),
        ("lfwa", lfw.ATTRIBUTES, "A B\t1", "x" * 300 + "\t1"),
        ("lfwa", lfw.ATTRIBUTES, "A B\t1", "../../B\t1"),
    ],
)
def test_absurd_values_in_attribute_files(tmp_path: Path, reader: str, file: str, before: str, after: str) -> None:
    write_faces(tmp_path)
    content = (tmp_path / file).read_text()
    assert before in content
    (tmp_path / file).write_text(content.replace(before, after, 1))
    sentence = refusal(lambda: data.read(reader, tmp_path))
    assert_sentences([sentence], at_least=1)
    assert file in sentence
    assert "expected" in sentence


@pytest.mark.parametrize(("reader", "file"), [("celeba", celeba.ATTRIBUTES), ("lfwa", lfw.ATTRIBUTES)])
def test_attribute_files_have_a_bound(tmp_path: Path, reader: str, file: str) -> None:
    write_faces(tmp_path)
    with pytest.raises(InputError, match=rf"{file}: the file has .* expected at most 20 \(limits\.file_bytes"):
        data.read(reader, tmp_path, limits=data.Limits(file_bytes=20))


@pytest.mark.parametrize("reader", ["celeba", "lfwa", "image_table", "cifar10s", "biased_mnist"])
def test_no_reader_follows_a_link_out_of_its_folder(tmp_path: Path, reader: str) -> None:
    outside, folder = tmp_path / "outside.jpg", tmp_path / "data"
    Image.fromarray(PICTURE).save(outside)
    folder.mkdir()
    write_faces(folder)
    (folder / "images.csv").write_text("image,sex\n1.jpg,f\n2.jpg,m\n")
    for part in ("train", "test"):
        for label in mnist.DIGITS:
            (folder / part / label).mkdir(parents=True)
            (folder / part / label / "1.jpg").symlink_to(outside)
    (folder / "1.jpg").symlink_to(outside)
    for linked in (*folder.glob(f"{celeba.IMAGES}/*"), *folder.glob(f"{lfw.IMAGES}/*/*")):
        linked.unlink()
        linked.symlink_to(outside)
    with pytest.raises(InputError, match=r"leads out of .* through a link"):
        data.read(reader, folder)
