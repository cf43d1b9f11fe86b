"""The network as a model: windows, files, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_hybrid import small
from support import needs_bf16, photo

from tngexp.hybrid import model as module
from tngexp.hybrid.model import Hybrid, condition_of, load_hybrid, save_hybrid
from tngexp.hybrid.origin import Origin
from tngexp.io import load
from tngexp.types import CheckpointError, ConfigError

CONDITION = condition_of(Origin("jpeg", 20.0, 30.0, True))


def pixels(width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(photo(width, height))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (37, 23), (64, 48)])
def test_pictures_of_any_size_keep_it(size: tuple[int, int]) -> None:
    rgb = pixels(*size)
    restored = small().restore(rgb, CONDITION)
    assert restored.shape == rgb.shape
    assert restored.dtype == np.uint8
    assert not np.array_equal(restored, rgb)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_windows_leave_no_seam(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    hybrid, rgb = small(strength=4.0), pixels(230, 170)
    condition = condition_of(Origin("jpeg", 20.0, 30.0, True), scale)
    whole = hybrid.restore(rgb, condition)
    monkeypatch.setattr(module, "_WINDOW", 96)
    shares: list[float] = []
    windowed = hybrid.restore(rgb, condition, shares.append)
    # Sums in another order may round to the neighbouring level.
    assert np.abs(windowed.astype(int) - whole).max() <= 1
    assert (windowed != whole).mean() < 1e-3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 2


def test_bfloat16_computes_what_is_added_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    hybrid, rgb = small(strength=4.0), pixels(64, 48)
    seen: list[tuple[bool, torch.dtype]] = []

    def forward(x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        seen.append((torch.is_autocast_enabled("cpu"), x.dtype))
        return x

    monkeypatch.setattr(hybrid.post, "forward", forward)
    for fast in (False, True):
        monkeypatch.setattr(module, "multiplies_bf16", lambda fast=fast: fast)
        assert np.array_equal(hybrid.restore(rgb, CONDITION), rgb)  # no level is lost
    assert seen == [(False, torch.float32), (True, torch.float32)]


@needs_bf16
def test_bfloat16_restores_nearly_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    hybrid, rgb = small(), pixels(64, 48)
    restored = []
    for fast in (False, True):
        monkeypatch.setattr(module, "multiplies_bf16", lambda fast=fast: fast)
        restored.append(hybrid.restore(rgb, CONDITION).astype(int))
    assert np.abs(restored[0] - restored[1]).max() <= 2
    assert np.abs(restored[0] - restored[1]).mean() < 0.2


def test_windows_look_beyond_their_border(monkeypatch: pytest.MonkeyPatch) -> None:
    hybrid, rgb = small(strength=4.0), pixels(230, 170)
    whole = hybrid.restore(rgb, CONDITION)
    monkeypatch.setattr(module, "_WINDOW", 96)
    monkeypatch.setattr(hybrid.post, "reach", 0)
    assert np.abs(hybrid.restore(rgb, CONDITION).astype(int) - whole).max() > 1


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("half", [False, True])
def test_a_saved_network_restores_alike(tmp_path: Path, suffix: str, half: bool) -> None:
    hybrid, rgb = small("webp", factors=(1, 2)), pixels(40, 30)
    path = tmp_path / f"network{suffix}"
    save_hybrid(hybrid, path, half=half)
    found = load_hybrid(path)
    assert (found.base, found.factors) == (("webp",), (1.0, 2.0))
    assert found.objective == hybrid.objective
    assert not found.training
    difference = found.restore(rgb, CONDITION).astype(int) - hybrid.restore(rgb, CONDITION)
    assert np.abs(difference).max() <= (1 if half else 0)


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_hybrid(small("jpeg"), path)
    assert load_hybrid(path).base == ("jpeg",)
    save_hybrid(small("webp"), path)
    assert load_hybrid(path).base == ("webp",)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (["jpg"], "Did you mean 'jpeg'"),
        (["jxl"], "base=jxl: nothing in its files"),
        ([], "names no codec"),
    ],
)
def test_codecs_that_cannot_be_told_about_are_refused(base: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Hybrid(small().post, base)


def test_files_of_another_kind_are_refused(tmp_path: Path, network: Path) -> None:
    with pytest.raises(CheckpointError, match="a codec of its own"):
        load_hybrid("tng-objective")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_hybrid(tmp_path / "absent.ckpt")
    with pytest.raises(CheckpointError, match=r"anchors=\[jpeg,jpeg\+"):
        load(network)
    other = torch.load(_written(tmp_path), weights_only=True)
    other["state_dict"].popitem()
    torch.save(other, tmp_path / "less.ckpt")
    with pytest.raises(CheckpointError, match=r"less\.ckpt: its weights do not fit"):
        load_hybrid(tmp_path / "less.ckpt")
    other["tngexp"]["codec"]["post"]["_target_"] = "os.system"
    torch.save(other, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="not part of tngexp"):
        load_hybrid(tmp_path / "evil.ckpt")


def _written(folder: Path) -> Path:
    path = folder / "written.ckpt"
    save_hybrid(small(), path)
    return path


def test_a_network_without_description_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="from_config"):
        save_hybrid(Hybrid(small().post, ["jpeg"]), tmp_path / "x.ckpt")
    assert not list(tmp_path.glob("x*"))
