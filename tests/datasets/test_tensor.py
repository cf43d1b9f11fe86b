"""data=tensor: its crops are those of data=folder, wherever they are cut."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import needs_gpu
from torch import Tensor

from tngexp.datasets.folder import FolderDataModule
from tngexp.datasets.images import DataError, DataWarning
from tngexp.datasets.pack import pack_pixels
from tngexp.datasets.tensor import TensorDataModule
from tngexp.datasets.tensor.cut import _taps, cut, span_of
from tngexp.types import ConfigError

OPTIONS: dict[str, Any] = {"crop": 32, "batch_size": 4, "val_images": 2, "num_workers": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pictures of several sizes, the smallest 42 pixels a side."""
    root = tmp_path_factory.mktemp("photos")
    (root / "sub").mkdir()
    rng = np.random.default_rng(3)
    for number in range(7):
        coarse = Image.fromarray(rng.integers(0, 256, (19, 21, 3), dtype=np.uint8))
        image = coarse.resize((60 + 7 * number, 90 - 8 * number), Image.Resampling.BICUBIC)
        image.save(root / (f"{number}.png" if number % 2 else f"sub/{number}.png"))
    return root


@pytest.fixture(scope="module")
def file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "photos.safetensors"
    pack_pixels(folder, path, min_side=32)
    return path


def batches(module: Any, count: int) -> Tensor:
    stream = iter(module.train_dataloader())
    return torch.cat([next(stream) for _ in range(count)])


@pytest.mark.parametrize("options", [{}, {"val_images": None}, {"val_images": 3}])
def test_the_split_is_that_of_the_folder(folder: Path, file: Path, options: dict[str, Any]) -> None:
    split = FolderDataModule(folder, **{**OPTIONS, **options}).photos
    stored = TensorDataModule(file, **{**OPTIONS, **options}).photos
    for part, same in zip(split, stored, strict=True):
        assert [photo.name for photo in part] == [photo.name for photo in same]


def test_small_photos_are_left_out_as_in_a_folder(folder: Path, file: Path) -> None:
    chosen = {**OPTIONS, "crop": 48}
    with pytest.warns(DataWarning, match="skipped 1 of 7"):
        split = FolderDataModule(folder, **chosen).photos
    with pytest.warns(DataWarning, match=r"data\.file=.*skipped 1 of 7 photos.* 48 pixels"):
        stored = TensorDataModule(file, **chosen).photos
    assert [[p.name for p in part] for part in split] == [[p.name for p in s] for s in stored]


def test_off_the_device_samples_and_validation_are_the_folders(folder: Path, file: Path) -> None:
    one, two = FolderDataModule(folder, **OPTIONS), TensorDataModule(file, **OPTIONS)
    assert torch.equal(batches(one, 4), batches(two, 4))
    for image, same in zip(one.val_dataloader(), two.val_dataloader(), strict=True):
        assert torch.equal(image, same)


@pytest.mark.parametrize("downscale", [(0.6, 1.0), (0.3, 0.5), (1.0, 1.0)])
def test_on_the_device_samples_are_the_folders_to_one_grey_level(
    folder: Path, file: Path, downscale: tuple[float, float]
) -> None:
    chosen = {**OPTIONS, "downscale": downscale}
    expected = batches(FolderDataModule(folder, **chosen), 8).int()
    found = batches(TensorDataModule(file, on_device=True, **chosen), 8)
    assert found.shape == (32, 3, 32, 32)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    difference = (found.int() - expected).abs()
    assert difference.max() <= 1
    assert difference.float().mean() < 0.01
    if downscale == (1.0, 1.0):  # nothing is resampled
        assert difference.max() == 0


def test_sums_of_the_filter_are_exact_in_float32() -> None:
    """So no order of adding, and no device, changes a crop."""
    side = torch.linspace(32, 320, 97, dtype=torch.float64)
    start = 37 * torch.rand(97, dtype=torch.float64)
    length = (start + side).ceil()
    _, weights = _taps(start, side, length, 32, 400)
    units = weights.double() * 2**15
    assert torch.equal(units, units.round())
    assert 255 * units.abs().sum(2).max() < 2**24
    # And a flat area keeps its grey level.
    assert 255 * (weights.double().sum(2) - 1).abs().max() < 0.5


def test_a_span_holds_all_that_a_crop_depends_on(file: Path) -> None:
    """A wider one gives the same pixels."""
    photo = max(TensorDataModule(file, **OPTIONS).photos.train, key=lambda p: p.height)
    span = span_of(16, 0.5)
    windows = [(photo.offset, photo.height, photo.width, t, t / 3, 32, 0) for t in (0, 7.3, 21.999)]
    table = torch.tensor(windows, dtype=torch.float64)
    narrow, wide = (cut(photo.pixels, table, 16, s) for s in (span, span + 25))
    assert torch.equal(narrow, wide)
    assert not torch.equal(cut(photo.pixels, table, 16, span - 8), wide)


def at(step: int, rank: int = 0, ranks: int = 1) -> Any:
    """A trainer that has come to an optimizer step."""
    return SimpleNamespace(
        global_step=step, accumulate_grad_batches=1, world_size=ranks, global_rank=rank,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip


def test_samples_follow_the_seed_the_step_and_the_process(file: Path) -> None:
    def from_step(step: int, rank: int = 0, ranks: int = 1, **options: Any) -> Tensor:
        module = TensorDataModule(file, on_device=True, **{**OPTIONS, **options})
        module.trainer = at(step, rank, ranks)
        return batches(module, 6 - step)

    whole = from_step(0)
    assert torch.equal(from_step(4), whole[16:])
    assert torch.equal(from_step(0), whole)
    assert not torch.equal(from_step(0, seed=1), whole)
    # Two processes with half the batch draw the same samples, in turn.
    half = [from_step(0, rank, 2, batch_size=2) for rank in (0, 1)]
    assert torch.equal(torch.stack(half, 1).flatten(0, 1), whole)


def test_the_device_is_the_models_where_asked_for(file: Path) -> None:
    def device(on_device: bool | str, kind: str, make: Any = None) -> torch.device | None:
        module = TensorDataModule(file, on_device=on_device, **OPTIONS)
        module.trainer = at(0)
        module.trainer.strategy.root_device = torch.device(kind)
        module.make_sample = make
        return module._device()

    assert device("auto", "cuda") == torch.device("cuda")
    assert device("auto", "cpu") is None
    assert device("auto", "mps") is None
    assert device(False, "cuda") is None
    assert device(True, "cpu") == torch.device("cpu")
    assert device("auto", "cuda", make=object()) is None
    with pytest.raises(ConfigError, match=r"behind other codecs.*data\.on_device=auto"):
        device(True, "cuda", make=object())
    with pytest.raises(ConfigError, match=r"float64, which mps lacks"):
        device(True, "mps")
    with pytest.raises(ConfigError, match=r"data\.on_device=gpu must be true, false or auto"):
        TensorDataModule(file, on_device="gpu")


def test_photos_too_many_for_the_device_are_one_message(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Tensor, device: torch.device) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    module = TensorDataModule(file, on_device=True, **OPTIONS)
    module.setup("fit")
    monkeypatch.setattr(Tensor, "to", full)
    with pytest.raises(DataError, match=r"GiB of pixels.*no room.*data\.on_device=false"):
        module.train_dataloader()


def test_what_cannot_be_split_is_one_message(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.file is not set.*tngexp\.datasets\.pack"):
        TensorDataModule(None, **OPTIONS).setup("fit")
    with pytest.raises(DataError, match=r"none of its 7 photos has 256 pixels a side.*data\.crop"):
        TensorDataModule(file, **{**OPTIONS, "crop": 256}).setup("fit")
    one = tmp_path / "one.safetensors"
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "photos" / "a.png")
    pack_pixels(tmp_path / "photos", one, min_side=32)
    with pytest.raises(DataError, match=r"1 photo.*set data\.val_file"):
        TensorDataModule(one, **OPTIONS).setup("fit")
    # Which helps.
    split = TensorDataModule(file, one, **OPTIONS).photos
    assert (len(split.train), [photo.name for photo in split.val]) == (7, ["a.png"])


def test_the_content_is_of_names_and_pixels(folder: Path, file: Path, tmp_path: Path) -> None:
    content = TensorDataModule(file, **OPTIONS).content()
    copy = tmp_path / "copy.safetensors"
    pack_pixels(folder, copy, min_side=32)
    assert TensorDataModule(copy, **OPTIONS).content() == content
    assert TensorDataModule(file, **{**OPTIONS, "val_images": 3}).content() != content
    (tmp_path / "other").mkdir()
    for path in folder.rglob("*.png"):
        name = path.relative_to(folder)
        (tmp_path / "other" / name).parent.mkdir(exist_ok=True)
        with Image.open(path) as image:
            Image.eval(image, lambda level: level ^ 1).save(tmp_path / "other" / name)
    pack_pixels(tmp_path / "other", copy, min_side=32, force=True)
    other = TensorDataModule(copy, **OPTIONS).content()
    assert other.train != content.train
    assert other.val != content.val


@needs_gpu
def test_a_gpu_cuts_the_same_pixels(file: Path) -> None:
    here = TensorDataModule(file, on_device=True, **OPTIONS)
    there = TensorDataModule(file, **OPTIONS)
    there.trainer = at(0)
    there.trainer.strategy.root_device = torch.device("cuda")
    found = batches(there, 8)
    assert found.device.type == "cuda"
    assert torch.equal(found.cpu(), batches(here, 8))
