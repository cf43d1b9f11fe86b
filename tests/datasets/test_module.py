from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch import Tensor, nn

from tngexp.datasets.folder import FolderDataModule
from tngexp.datasets.images import DataError, DataWarning
from tngexp.datasets.kodak import KODAK_SHA256, KodakDataModule
from tngexp.datasets.module import ImageDataModule, LoaderOptions
from tngexp.datasets.sample import SampleDataModule
from tngexp.datasets.sampler import EndlessBatches
from tngexp.types import ConfigError

Writer = Callable[..., Path]


class _Recorder(lightning.LightningModule):
    """A one-parameter model that records what it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.batches: list[Tensor] = []
        self.losses: list[float] = []
        self.validated_at: list[int] = []

    def training_step(self, batch: Tensor) -> Tensor:
        self.batches.append(batch.clone())
        loss = (self.scale * batch.float() / 255 - 0.3).square().mean()
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: Tensor, index: int) -> None:
        assert batch.dtype == torch.uint8
        if index == 0 and not self.trainer.sanity_checking:
            self.validated_at.append(self.trainer.global_step)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


def _fit(
    folder: Path, run: Path, steps: int, resume: Path | None = None, **options: Any
) -> _Recorder:
    model = _Recorder()
    trainer = lightning.Trainer(
        max_steps=steps,
        val_check_interval=options.pop("val_check_interval", 4),
        check_val_every_n_epoch=None,
        accumulate_grad_batches=options.pop("accumulate", 1),
        callbacks=[
            ModelCheckpoint(run, "{step}", save_top_k=-1, every_n_train_steps=1),
            ModelCheckpoint(run, "last", save_last=True, save_top_k=0),
        ],
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    options = {"crop": 16, "batch_size": 2, "val_images": 2, "num_workers": 0, **options}
    trainer.fit(model, datamodule=FolderDataModule(folder, **options), ckpt_path=resume)
    return model


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.`")  # torch's, in Lightning
def test_a_resumed_run_sees_what_an_uninterrupted_one_would(write_photos: Writer, tmp_path: Path):
    folder = write_photos(9, side=30)
    whole = _fit(folder, tmp_path / "whole", 10)
    assert whole.validated_at == [4, 8]
    assert len(whole.batches) == 10
    dataset = _train_dataset(folder)
    for step, batch in enumerate(whole.batches):
        assert torch.equal(batch, torch.stack([dataset[2 * step], dataset[2 * step + 1]]))

    # Stopped by max_steps at a step without and with validation, or cut off after any step.
    for stop in (3, 4):
        run = tmp_path / f"stopped{stop}"
        assert len(_fit(folder, run, stop).batches) == stop
        _assert_continues(whole, _fit(folder, run, 10, run / "last.ckpt"), stop)
    for cut in (4, 5):
        resumed = _fit(folder, tmp_path / f"cut{cut}", 10, tmp_path / "whole" / f"step={cut}.ckpt")
        _assert_continues(whole, resumed, cut)


def _assert_continues(whole: _Recorder, resumed: _Recorder, step: int) -> None:
    assert len(resumed.batches) == 10 - step
    for expected, batch in zip(whole.batches[step:], resumed.batches, strict=True):
        assert torch.equal(batch, expected)
    assert resumed.losses == whole.losses[step:]
    assert [s for s in resumed.validated_at if s > step] == [
        s for s in whole.validated_at if s > step
    ]


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.`")
def test_resuming_counts_accumulated_batches(write_photos: Writer, tmp_path: Path):
    folder = write_photos(7, side=30)
    options = {"accumulate": 3, "val_check_interval": 6}
    whole = _fit(folder, tmp_path / "whole", 4, **options)
    assert len(whole.batches) == 12
    assert whole.validated_at == [2, 4]
    resumed = _fit(folder, tmp_path / "more", 4, tmp_path / "whole" / "step=2.ckpt", **options)
    assert len(resumed.batches) == 6
    for expected, batch in zip(whole.batches[6:], resumed.batches, strict=True):
        assert torch.equal(batch, expected)


def _train_dataset(folder: Path) -> Any:
    module = FolderDataModule(folder, crop=16, batch_size=2, val_images=2, num_workers=0)
    return module.train_dataloader().dataset


def test_processes_divide_the_samples():
    alone = iter(EndlessBatches(6, start=12))
    ranks = [iter(EndlessBatches(2, start=12, rank=r, world_size=3)) for r in range(3)]
    for _ in range(4):
        drawn = [next(rank) for rank in ranks]
        assert sorted(number for batch in drawn for number in batch) == next(alone)
        assert all({number % 3 for number in batch} == {r} for r, batch in enumerate(drawn))


def test_position_follows_the_trainer(write_photos: Writer):
    class _Trainer:
        global_step, accumulate_grad_batches, world_size, global_rank = 5, 2, 3, 1

    module = FolderDataModule(write_photos(4), crop=16, batch_size=4, num_workers=0)
    module.trainer = _Trainer()  # type: ignore[assignment]
    batch = next(iter(module.train_dataloader().batch_sampler))
    first = 5 * 2 * 3 * 4
    assert batch == [first + 1, first + 4, first + 7, first + 10]


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_one_line_also_from_a_loader_process(write_photos: Writer, workers: int):
    module = FolderDataModule(write_photos(4), crop=16, batch_size=2, num_workers=workers)
    for photo in module.photos.train:
        photo.path.write_bytes(b"damaged")  # type: ignore[attr-defined]
    with pytest.raises(DataError) as caught:
        next(iter(module.train_dataloader()))
    assert str(caught.value).startswith("none of the 2 training photos can be decoded (")
    assert "Traceback" not in str(caught.value)


def _names(photos: Any) -> set[str]:
    return {photo.name for photo in photos}


def test_folder_holds_photos_out(write_photos: Writer):
    root = write_photos(20)
    split = FolderDataModule(root, crop=16, val_images=6).photos
    assert len(split.train) == 14
    assert len(split.val) == 6
    assert not _names(split.train) & _names(split.val)
    assert _names(FolderDataModule(root, crop=16, val_images=6, seed=9).photos.val) == _names(
        split.val
    )
    # One photo more changes at most one place; a moved folder changes nothing.
    shutil.copy(root / "000.png", root / "extra.png")
    changed = FolderDataModule(root, crop=16, val_images=6).photos.val
    assert len(_names(changed) & _names(split.val)) >= 5
    assert len(FolderDataModule(root, crop=16, val_images=16).photos.val) == 10  # at most half


def test_folder_with_its_own_validation_folder(write_photos: Writer):
    root = write_photos(5)
    inside = write_photos(3, folder="photos/val")
    split = FolderDataModule(root, inside, crop=16, val_images=2).photos
    assert _names(split.train) == {f"{k:03d}.png" for k in range(5)}
    assert all("val" not in photo.name for photo in split.train)
    assert len(split.val) == 2
    with pytest.raises(DataError, match=r"no image outside data\.val_root"):
        _ = FolderDataModule(root, root, crop=16).photos


def test_folder_skips_a_damaged_validation_photo_in_the_same_warning(write_photos: Writer):
    root = write_photos(6)
    victim = root / sorted(_names(FolderDataModule(root, crop=16, val_images=2).photos.val))[0]
    # Damage in the middle: the header and the end look right, only decoding can tell.
    data = victim.read_bytes()
    middle = len(data) // 2
    victim.write_bytes(data[:middle] + bytes(64) + data[middle + 64 :])
    Image.new("RGB", (5, 5)).save(root / "tiny.png")
    module = FolderDataModule(root, crop=16, val_images=2)
    with pytest.warns(DataWarning) as caught:
        module.setup("fit")
    (warning,) = caught
    assert "skipped 2 of 7" in str(warning.message)
    assert victim.name in str(warning.message)
    assert len(module.photos.val) == 2
    assert victim.name not in _names(module.photos.train) | _names(module.photos.val)


def test_a_single_photo_cannot_be_split(write_photos: Writer):
    with pytest.raises(DataError, match=r"1 of the 2 needed .*data\.val_root"):
        FolderDataModule(write_photos(1), crop=16).setup("fit")


def test_validation_prefers_photos_large_enough_for_ms_ssim(write_photos: Writer):
    root = write_photos(6)
    for name in ("large1.png", "large2.png"):
        Image.new("RGB", (180, 176)).save(root / name)
    photos = FolderDataModule(root, crop=16, val_images=2).photos
    assert _names(photos.val) == {"large1.png", "large2.png"}


def test_sample_needs_no_files_of_ours_and_does_not_leak():
    module = SampleDataModule(crop=64, batch_size=3, leaves=2, num_workers=0)
    module.setup("fit")
    train, val = _names(module.photos.train), _names(module.photos.val)
    assert {"skimage/astronaut.png", "sklearn/china.jpg", "dead-leaves-0"} <= train
    assert val == {
        "skimage/chelsea.png",
        "skimage/coffee.png",
        "skimage/rocket.jpg",
        "sklearn/flower.jpg",
    }
    assert not train & val
    batch = next(iter(module.train_dataloader()))
    assert batch.shape == (3, 3, 64, 64)
    assert batch.dtype == torch.uint8
    shapes = [tuple(image.shape) for image in module.val_dataloader()]
    assert shapes == [(1, 3, 300, 451), (1, 3, 400, 512), (1, 3, 427, 512), (1, 3, 427, 512)]


def test_sample_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tngexp.datasets.sample.find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-image scikit-learn"):
        SampleDataModule().setup("fit")


def test_sample_with_a_large_crop_uses_what_is_large_enough():
    module = SampleDataModule(crop=600, leaves=1)
    assert all(photo.short_side >= 600 for photo in module.photos.train)
    with pytest.raises(DataError, match=r"lower data\.crop"):
        _ = SampleDataModule(crop=5000, leaves=0).photos


def test_kodak_names_each_missing_or_wrong_file(tmp_path: Path):
    (tmp_path / "kodim03.png").write_bytes(b"something else")
    with pytest.raises(DataError) as caught:
        KodakDataModule(tmp_path).setup("validate")
    message = str(caught.value)
    assert "SHA-256 differs): kodim03.png" in message
    assert "missing kodim01.png, kodim02.png, kodim04.png" in message
    assert message.count("kodim03.png") == 1


def test_kodak_accepts_the_right_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sums = []
    for number in range(1, 4):
        path = tmp_path / f"kodim{number:02d}.png"
        Image.new("RGB", (12, 8), (number, 0, 0)).save(path)
        sums.append(hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr("tngexp.datasets.kodak.KODAK_SHA256", tuple(sums))
    module = KodakDataModule(tmp_path)
    module.setup("validate")
    assert [tuple(image.shape) for image in module.val_dataloader()] == [(1, 3, 8, 12)] * 3


def test_kodak_list_is_complete():
    assert len(set(KODAK_SHA256)) == 24
    assert all(len(bytes.fromhex(digest)) == 32 for digest in KODAK_SHA256)


def test_kodak_refuses_to_train(tmp_path: Path):
    module = KodakDataModule(tmp_path)
    for attempt in (lambda: module.setup("fit"), module.train_dataloader):
        with pytest.raises(ConfigError, match="data=kodak is for evaluation"):
            attempt()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("crop", 0),
        ("crop", 12.5),
        ("crop", "big"),
        ("batch_size", 0),
        ("downscale", [0.0, 1.0]),
        ("downscale", [0.9, 0.6]),
        ("downscale", [0.6, 1.5]),
        ("downscale", 0.5),
        ("cache_mib", -1),
        ("num_workers", "many"),
        ("num_workers", -1),
        ("val_images", 0),
        ("val_crop", 0),
        ("seed", -3),
    ],
)
def test_bad_options_are_named(option: str, value: object):
    with pytest.raises(ConfigError, match=rf"data\.{option}="):
        LoaderOptions(**{option: value})  # type: ignore[arg-type]


def test_workers_are_automatic(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert LoaderOptions().workers() == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert LoaderOptions().workers() == 8
    assert LoaderOptions(num_workers=3).workers() == 3


def test_the_base_is_abstract():
    with pytest.raises(TypeError):
        ImageDataModule(LoaderOptions())  # type: ignore[abstract]
