"""Files of weights: what was saved comes back, or one sentence; damage that torch does not notice is noticed."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.features.pickles import load_pickle
from counterpoise.features.weights import read_state

MUTATIONS = 400
WEIGHTS = {"a.weight": torch.arange(32.0).reshape(8, 4), "a.bias": torch.ones(8), "n": torch.tensor(3)}


def saved(*, archive: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer, _use_new_zipfile_serialization=archive)
    return buffer.getvalue()


def same(state: dict[str, Tensor]) -> bool:
    return state.keys() == WEIGHTS.keys() and all(
        tensor.dtype == WEIGHTS[name].dtype and torch.equal(tensor, WEIGHTS[name]) for name, tensor in state.items()
    )


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Flip a bit, cut the end off, zero a part, or repeat one."""
    start = draw.randrange(len(content))
    stop = draw.randrange(start, len(content)) + 1
    return draw.choice(
        [
            content[:start] + bytes([content[start] ^ 1 << draw.randrange(8)]) + content[start + 1 :],
            content[:start],
            content[:start] + bytes(stop - start) + content[stop:],
            content[:stop] + content[start:],
        ]
    )


@pytest.mark.filterwarnings("ignore")  # torch warns of old files
def test_a_damaged_archive_of_weights_is_a_sentence_or_does_no_harm(tmp_path: Path) -> None:
    path, whole, draw = tmp_path / "a.pth", saved(archive=True), random.Random(0)
    sentences = []
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(whole, draw))
        try:
            assert same(read_state(path))  # the bytes between the entries are nobody's
        except InputError as error:
            sentences.append(str(error))
    assert len(sentences) > MUTATIONS / 2
    assert all(sentence.startswith(f"{path}: ") for sentence in sentences)


@pytest.mark.filterwarnings("ignore")
def test_damage_to_an_old_file_never_ends_in_another_error(tmp_path: Path) -> None:
    """Files of torch before 1.6 have no checksums: tensors may change and stay tensors."""
    path, whole, draw = tmp_path / "a.pth", saved(archive=False), random.Random(0)
    assert same(load_pickle(io.BytesIO(whole), "a.pth"))
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(whole, draw))
        try:
            state = read_state(path)
        except InputError:
            continue
        assert all(isinstance(tensor, Tensor) for tensor in state.values())


def test_one_changed_number_is_noticed(tmp_path: Path) -> None:
    number = torch.tensor(31.0).numpy().tobytes()
    whole = saved(archive=True)
    assert whole.count(number) == 1
    damaged = whole.replace(number, torch.tensor(30.0).numpy().tobytes())
    assert not same(torch.load(io.BytesIO(damaged)))  # torch does not see it
    (tmp_path / "a.pth").write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.pth: is damaged: the checksum of '.*/data/0' differs"):
        read_state(tmp_path / "a.pth")


def test_a_file_that_grows_when_it_is_read_is_refused(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(io.BytesIO(saved(archive=True))) as whole,
        zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in whole.infolist():
            packed.writestr(entry.filename, whole.read(entry))
        packed.writestr("archive/data/9", bytes(10_000_000))
    with pytest.raises(InputError, match=r"a\.pth: [\d,]+ bytes say to be 10,[\d,]+, expected"):
        read_state(tmp_path / "a.pth")
