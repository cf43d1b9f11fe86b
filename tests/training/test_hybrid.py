"""Training a network behind conventional codecs: the same command, the same promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from tngexp.cli.train import main
from tngexp.datasets.folder import FolderDataModule
from tngexp.hybrid import pairs
from tngexp.hybrid.model import load_hybrid
from tngexp.hybrid.pairs import Pair
from tngexp.losses import MSELoss
from tngexp.schema.compose import configuration
from tngexp.training.callbacks.throughput import Throughput
from tngexp.training.hybrid import LitHybrid
from tngexp.training.train import train
from tngexp.types import ConfigError

SMALL = [
    "model=hybrid",
    "base=jpeg",
    "loss=mse",
    "post.channels=[8,16]",
    "post.blocks=[1,1]",
    "data=folder",
    "data.crop=64",
    "data.batch_size=2",
    "data.val_images=2",
    "data.val_crop=64",
    "logger=none",
    "report=none",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "scheduler.warmup=1",
]


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Callable[..., Any]:
    """Trains with further overrides; the result."""

    def go(name: str, *overrides: str) -> Any:
        place = f"run_dir={tmp_path / name}"
        return train(configuration(*SMALL, f"data.root={photos}", place, *overrides))

    return go


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def test_a_run_leaves_a_network_that_restores(run: Callable[..., Any]) -> None:
    result = run("a", "base=[jpeg,webp]", "pre=downscale", "post=light")
    assert result.steps == 4
    assert result.picture is not None
    assert result.picture.exists()
    names = {"val/loss", "val/gain_db", "val/psnr", "val/bpp", "val/q0.5/gain_db"}
    assert names <= result.val.keys()
    # A rate is that of files: coarse settings cost less.
    assert result.val["val/q0/bpp"] < result.val["val/q0.5/bpp"] < result.val["val/q1/bpp"]
    network = load_hybrid(result.best)
    assert network.base == ("jpeg", "webp")
    assert network.factors == (1.0, 1.5, 2.0)
    assert network.objective is not None
    assert network.objective.distortion == "mse"


def test_files_of_slow_codecs_are_kept_between_validations(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TNGEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pairs, "SLOW", {"webp"})
    run("first", "base=webp")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.webp")}
    assert len(kept) >= 2 * 3 + 1  # of two photos at three qualities, and of crops
    run("second", "base=webp")
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.webp")}
    assert again == kept


def test_a_network_learns(run: Callable[..., Any]) -> None:
    steps = ["trainer.max_steps=150", "trainer.val_check_interval=50", "optimizer.lr=4e-3"]
    result = run("learns", *steps, "data.batch_size=4", "callbacks=minimal")
    assert result.val["val/loss"] < 0.97  # of the distortion that decoding leaves
    assert result.val["val/gain_db"] > 0.1


def test_a_resumed_run_equals_one_that_never_stopped(run: Callable[..., Any]) -> None:
    steady = ["base=[jpeg,webp]", "scheduler.decay_start=1"]  # whatever max_steps is
    whole = run("whole", *steady)
    half = run("half", *steady, "trainer.max_steps=2")
    rest = run("rest", *steady, f"resume={half.last}")
    left, right = weights(whole.last), weights(rest.last)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert any(not torch.equal(left[name], t) for name, t in weights(half.last).items())


def test_two_processes_are_one_with_the_same_global_batch(run: Callable[..., Any]) -> None:
    exact = ["base=[jpeg,webp]", "trainer.precision=32-true", "+optimizer.eps=1e-4"]
    exact += ["trainer.accelerator=cpu"]
    one = run("one", *exact, "data.batch_size=4")
    two = run("two", *exact, "data.batch_size=2", "trainer=ddp", "trainer.devices=2")
    left, right = (torch.cat([t.flatten() for t in weights(r.last).values()]) for r in (one, two))
    # A step that sees other pairs moves the weights by a thousandth of their size.
    assert (left - right).norm() <= 5e-5 * left.norm()
    assert two.val["val/loss"] == pytest.approx(one.val["val/loss"], rel=1e-5)


def test_it_starts_from_another_network_s_parts(run: Callable[..., Any]) -> None:
    first = run("first")
    start = [f"init_from={first.best}", "init_parts=[post.stem]", "freeze=[post.stem]"]
    second = run("second", *start, "base=webp")
    before, after = weights(first.best), weights(second.last)
    stem = [name for name in before if ".stem." in name]
    assert stem
    assert all(torch.equal(before[name], after[name]) for name in stem)
    assert second.frozen is not None
    assert "post.stem" in second.frozen
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_loss_is_relative_to_what_decoding_leaves() -> None:
    lit = LitHybrid.from_config(configuration(*SMALL, "data.root=x"), checkpoint_info={})
    original = torch.rand(2, 3, 64, 64)
    noise = torch.randn(2, 3, 64, 64) * torch.tensor([0.02, 0.1]).view(2, 1, 1, 1)
    decoded = original + noise
    bpp = torch.tensor([1.0, 0.5])
    nothing = lit._terms(original, decoded, decoded, bpp)
    half = lit._terms(original, decoded, original + noise / 2, bpp)
    assert float(nothing.loss) == pytest.approx(1.0)
    assert float(half.loss) == pytest.approx(0.25)  # of both, however different they are
    assert float(half.bpp) == pytest.approx(0.75)
    # What is coded nearly without loss does not outweigh the rest.
    perfect = torch.cat([original[:1], decoded[1:]])
    spoilt = lit._terms(original, perfect, perfect + 0.01, bpp)
    assert float(spoilt.loss) < 2


def test_a_batch_is_of_pairs(photos: Path) -> None:
    config = configuration(*SMALL, f"data.root={photos}")
    data = FolderDataModule(photos, crop=64, batch_size=2, val_images=2)
    LitHybrid.prepare(config, data)
    pair = Pair(*next(iter(data.train_dataloader())))
    assert pair.original.shape == pair.decoded.shape == (2, 3, 64, 64)
    assert pair.condition.shape[0] == 2
    assert pair.bpp.shape == (2,)
    assert not torch.equal(pair.original, pair.decoded)
    workers = FolderDataModule(photos, crop=64, batch_size=2, val_images=2, num_workers=1)
    LitHybrid.prepare(config, workers)
    same = Pair(*next(iter(workers.train_dataloader())))
    assert all(torch.equal(a, b) for a, b in zip(pair, same, strict=True))


def test_throughput_counts_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 2.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    logged: dict[str, float] = {}
    module = SimpleNamespace(log=lambda name, value, **_: logged.update({name: value}))
    trainer: Any = SimpleNamespace(world_size=1)
    throughput = Throughput(warmup=0)
    throughput.on_train_start(trainer, module)  # type: ignore[arg-type]
    batch = Pair(*(torch.zeros(8, 1) for _ in range(4)))
    for number in range(2):
        throughput.on_train_batch_end(trainer, module, None, batch, number)  # type: ignore[arg-type]
    assert throughput.images_per_s == logged["train/images_per_s"] == 8


@pytest.mark.filterwarnings("ignore")  # what Lightning says of any plain run
def test_a_plain_trainer_trains_and_tests_by_files(photos: Path, tmp_path: Path) -> None:
    config = configuration(*SMALL, f"data.root={photos}")
    lit = LitHybrid.from_config(config)
    data = FolderDataModule(photos, crop=64, batch_size=2, val_images=2, val_crop=64)
    LitHybrid.prepare(config, data)
    trainer = pl.Trainer(
        max_steps=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        use_distributed_sampler=False,
        val_check_interval=2,
        check_val_every_n_epoch=None,
        accelerator="cpu",
    )
    trainer.fit(lit, datamodule=data)
    (tested,) = trainer.test(lit, datamodule=data, verbose=False)
    assert tested["test/q0/bpp"] < tested["test/q1/bpp"]
    assert 5 < tested["test/psnr"] < 60
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    again = LitHybrid.load_from_checkpoint(tmp_path / "plain.ckpt")
    assert isinstance(again.loss, MSELoss)
    assert again.codec.base == ("jpeg",)
    x, condition = torch.rand(1, 3, 32, 32), torch.zeros(1, 9)
    lit.eval()
    again.eval()
    assert torch.equal(again.codec(x, condition), lit.codec(x, condition))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["base=null"], "base is not set"),
        (["base=jpg"], "Did you mean 'jpeg'"),
        (["base=[jpeg,jxl]"], "base=jxl: nothing in its files"),
        (["+quantizer=ste"], "quantizer and post contradict each other"),
        (["post.channels=[8]"], "one number for each level"),
        (["pre=downscale", "pre.factors=[1,3]"], r"pre\.factors=\[1, 3\] must be some of"),
        (["data.crop=66"], "must be a multiple of 4"),
        (["max_kmac=0.1"], r"Lower post\.channels or post\.blocks"),
        (
            [
                "post._target_=tngexp.rate.fixed.FixedRate",
                "~post.channels",
                "~post.blocks",
                "~post.expansion",
            ],
            "describes no restoration network",
        ),
    ],
)
def test_what_cannot_be_trained_is_told(
    run: Callable[..., Any], overrides: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        run("wrong", *overrides)
    assert not (tmp_path / "wrong").exists()


def test_a_foreign_data_module_gives_no_pairs() -> None:
    with pytest.raises(ConfigError, match="gives no numbered crops"):
        LitHybrid.prepare({"post": {}, "base": "jpeg"}, pl.LightningDataModule())


def test_a_run_ends_with_files_beside_those_of_the_codec_alone(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # anchors in this process: no others to start
    report = ["report=default", "report.anchors=[jpeg]", "report.anchor_settings={jpeg:[10,60]}"]
    cache = f"report.cache={tmp_path / 'cache'}"
    small = [word for word in SMALL if word != "report=none"]
    words = [*small, f"data.root={photos}", *report, cache, f"run_dir={tmp_path / 'run'}"]
    GlobalHydra.instance().clear()
    assert main(["hydra/job_logging=none", "hydra/hydra_logging=none", *words]) == 0
    said = capsys.readouterr().out
    assert "JPEG 4:2:0 + run" in said
    assert "report in" in said
    assert (tmp_path / "run" / "report" / "report.html").exists()


def test_pictures_are_those_of_the_network(run: Callable[..., Any], photos: Path) -> None:
    result = run("seen", "trainer.max_steps=2")
    sheet = np.asarray(Image.open(result.picture).convert("RGB"))
    assert sheet.std() > 10
