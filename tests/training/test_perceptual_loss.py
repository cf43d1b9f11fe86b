"""``loss=perceptual`` through a training: what is logged, what is kept, what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from tngexp import zoo
from tngexp.studies.contents import CONTENTS, contents_of
from tngexp.studies.identity import other_contents
from tngexp.training.loss import check_features, features_content
from tngexp.training.module import LitCodec
from tngexp.training.resume import ResumeWarning
from tngexp.training.train import TrainResult
from tngexp.types import CheckpointError

CHEAP = ["loss=perceptual", "loss.weights.msssim=0", "logger=csv"]  # 64 pixels have no MS-SSIM


def logged(result: TrainResult) -> set[str]:
    (metrics,) = result.run_dir.rglob("metrics.csv")
    with metrics.open() as file:
        return set(csv.DictReader(file).fieldnames or [])


def test_a_codec_trains_on_it_and_looks_through_another(run: Callable[..., TrainResult]) -> None:
    first = run(*CHEAP, "loss.weights.haarpsi=0.1")
    names = ("mse", "wasserstein", "haarpsi", "distortion")
    assert {f"train/{name}" for name in names} <= logged(first)
    assert {"val/wasserstein", "val/haarpsi", "train/psnr"} <= logged(first)
    assert not {"train/ms_ssim", "train/mdsi"} & logged(first)

    second = run(*CHEAP, f"loss.features=codec:{first.best}", name="second")
    kept = torch.load(second.last, weights_only=True)
    plain = torch.load(first.last, weights_only=True)
    for state in ("state_dict", "raw_state_dict"):
        assert kept.get(state, {}).keys() == plain.get(state, {}).keys()
    assert all(name.startswith("codec.") for name in kept["state_dict"])
    assert "loss_state_dict" not in kept
    assert kept["tngexp"]["objective"]["distortion"] == "perceptual"
    assert LitCodec.load_from_checkpoint(second.last).loss.wasserstein is not None

    longer = run(
        *CHEAP,
        f"loss.features=codec:{first.best}",
        f"resume={second.last}",
        "trainer.max_steps=3",
        name="second",
    )
    assert longer.steps == 3

    first.best.write_bytes(longer.best.read_bytes())  # another codec under the same path
    with pytest.raises(CheckpointError, match=r"has changed since: put the earlier back, or"):
        run(
            *CHEAP,
            f"loss.features=codec:{first.best}",
            f"resume={longer.last}",
            "trainer.max_steps=4",
            name="second",
        )


def test_going_on_with_another_generation_is_refused() -> None:
    loss = {"features": "codec:tng-objective"}
    config = {"config": {"loss": loss}}
    newest, old = (zoo.codec(name).sha256 for name in zoo.generations("tng-objective"))
    assert features_content(loss) == newest
    check_features(Path("a.ckpt"), {**config, "features": newest}, loss)
    fix = r"looked through tng-objective-1: set loss\.features=codec:tng-objective-1, or"
    with pytest.raises(CheckpointError, match=fix):
        check_features(Path("a.ckpt"), {**config, "features": old}, loss)
    with pytest.warns(ResumeWarning, match=r"which generation of tng-objective .*objective-1"):
        check_features(Path("a.ckpt"), config, loss)  # of an earlier version
    for other in ({"features": "codec:tng-objective-1"}, {"features": "haar"}, {}):
        check_features(Path("a.ckpt"), {**config, "features": newest}, other)
    assert other_contents({CONTENTS: {"features": old}}, {CONTENTS: {"features": newest}}) == [
        "the codec of loss.features"
    ]


def test_a_sweep_records_the_codec_that_its_loss_looks_through(
    configure: Callable[..., DictConfig],
) -> None:
    chosen = configure("loss=perceptual", "loss.features=codec:tng-objective")
    config: Any = OmegaConf.to_container(chosen, resolve=True)
    assert contents_of(config)["features"] == zoo.codec("tng-objective").sha256


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["loss.weights.mse=-1"], ["loss.weights.mse=-1 must be a number of 0 or more"]),
        (["loss.weights.mse=0", "loss.weights.wasserstein=0"], ["all of loss.weights are 0"]),
        (["loss.weights.lpip=1"], ["loss.weights.lpip", "Did you mean 'loss.weights.lpips'?"]),
        (["+loss.weights.lpip=1"], ["loss.weights.lpip", "Did you mean 'lpips'?"]),
        (["loss.weights.lpips=1"], ["loss.weights.lpips needs weights; download"]),
        (["loss.features=vgg"], ["loss.features=vgg is unknown"]),
        (["loss.features=codec:nowhere"], ["loss.features=codec:nowhere: ", "nowhere"]),
        (["loss.sigma=-1"], ["loss.sigma=-1 must be 0 or more"]),
        (["loss.sigma=300"], ["data.crop=64 is too small", "at least 1024 pixels; use"]),
        (["loss.adversarial.kind=wgan"], ["loss.adversarial.kind='wgan'", "hinge, relativistic"]),
        (["loss.weights.msssim=1"], ["data.crop=64 is too small", "MS-SSIM halves"]),
    ],
    ids=lambda value: value[0] if "=" in value[0] else "",
)
def test_message_names_option_and_fix(
    command: Callable[..., tuple[int, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    expected: list[str],
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    given = {word.partition("=")[0] for word in words}
    cheap = [word for word in CHEAP[:2] if word.partition("=")[0] not in given]
    code, err = command(*cheap, *words)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    for part in expected:
        assert part in err
    assert not list(tmp_path.rglob("*.ckpt"))
