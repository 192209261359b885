"""Corrupted CIFAR-10: corruptions that change images, each in its own way, and always the same one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from counterpoise.data import corrupted_cifar10
from counterpoise.data.corruptions import CORRUPTIONS, corrupt
from counterpoise.data.generate.cifar10 import write_cifar10
from counterpoise.errors import InputError


def test_a_row_is_shown_under_its_corruption(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar10", train=9, test=2)
    table = corrupted_cifar10.read(tmp_path / "cifar10", severity=2)
    assert table.columns.tolist() == ["image", "label", "corruption", "official_part", "severity"]
    assert table.groupby("corruption").size().sum() == 2 * 110
    own = dict(zip(corrupted_cifar10.CLASSES, CORRUPTIONS, strict=True))
    np.testing.assert_array_equal(table["corruption"][:110], table["label"][:110].map(own))
    rows = table.iloc[[0, 130, 50, 219]]
    pixels = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown = corrupted_cifar10.render(pixels, rows)
    for row, (name, corruption) in enumerate(zip(rows["image"], rows["corruption"], strict=True)):
        alone = corrupt(pixels[[row]], [name], corruption, severity=2)
        assert (shown[row].int() - alone[0].int()).abs().max() <= 1


def test_wrong_severities_and_classes_are_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar10", train=1, test=1, size=8)
    for severity in (0, 6):
        with pytest.raises(InputError, match=r"severity: found .*, expected a whole number from 1 to 5"):
            corrupted_cifar10.read(tmp_path / "cifar10", severity=severity)
    for part in ("train", "test"):
        (tmp_path / "cifar10" / part / "cat").rename(tmp_path / "cifar10" / part / "lion")
    with pytest.raises(InputError, match=r"holds the classes .*, lion, .*, expected airplane, automobile"):
        corrupted_cifar10.read(tmp_path / "cifar10")
