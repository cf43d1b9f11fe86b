"""The small parts of training, each against what it promises."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tngexp.losses import MSSSIMLoss
from tngexp.runs.checkpoint_io import architecture_difference, copy_file, write_checkpoint
from tngexp.runs.interrupt import StopRequest, catch_signals
from tngexp.schema.trainer import TrainerConf
from tngexp.training.callbacks.ema import EMA, ema_decay
from tngexp.training.callbacks.throughput import Throughput
from tngexp.training.module import LitCodec
from tngexp.training.pictures import ERROR_GAIN, comparison_row
from tngexp.training.schedule import WarmupDecay
from tngexp.training.validation import ImageResult, to_float
from tngexp.types import ConfigError


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_schedule_warms_up_holds_and_decays(shape: str) -> None:
    schedule = WarmupDecay(warmup=9, decay_start=0.5, final=0.01, shape=shape)
    factors = [schedule.factor(step, step / 100, 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[:10] == sorted(factors[:10])
    assert factors[9:51] == [1.0] * 42
    decay = factors[50:]
    assert decay == sorted(decay, reverse=True)
    assert factors[75] == pytest.approx(0.505)
    assert factors[100] == pytest.approx(0.01)
    assert schedule.factor(10**6, 1.0, 100) == pytest.approx(0.01)


def test_schedule_follows_the_progress_whatever_the_step() -> None:
    schedule = WarmupDecay(warmup=5, decay_start=0.5, final=0.01)
    assert schedule.factor(7, 1.0, 100) == pytest.approx(0.01)  # ended early by its time limit
    assert schedule.factor(7, 0.75, 100) == pytest.approx(0.505)
    # Ended within the warm-up, which is not cut short to get there.
    assert schedule.factor(2, 0.6, 100) == pytest.approx(3 / 6)
    assert schedule.factor(2, 1.0, 100) == pytest.approx(0.01)


def test_schedule_without_decay() -> None:
    assert WarmupDecay().factor(99, 0.99, 100) == 1.0


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (TrainerConf, {"max_steps": 1, "val_check_interval": 0}),
        (TrainerConf, {"max_steps": True, "val_check_interval": 1}),
        (TrainerConf, {"max_steps": 1, "max_time": "5"}),
        (TrainerConf, {"max_time": {"minuets": 5}}),
        (TrainerConf, {"max_time": {"minutes": 0}}),
        (TrainerConf, {"val_check_interval": 0.5}),
        (TrainerConf, {"gradient_clip_algorithm": "mean"}),
        (TrainerConf, {"max_steps": 1, "val_check_interval": 1, "gradient_clip_val": 0}),
        (TrainerConf, {"max_steps": 1, "val_check_interval": 1, "clp": 1}),
    ],
)
def test_settings_refuse(cls: Any, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        cls.from_config(config)


def test_ema_is_the_weighted_mean_of_all_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.register_buffer("temperature", torch.zeros(()))
    ema = EMA(decay=0.5)
    trainer: Any = SimpleNamespace(global_step=0)
    module: Any = model
    ema.on_fit_start(trainer, module)
    expected = model.weight.detach().clone()
    for step in range(1, 8):
        with torch.no_grad():
            model.weight.fill_(float(step))
        trainer.global_step = step
        ema.on_train_batch_end(trainer, module)
        ema.on_train_batch_end(trainer, module)  # a second micro-batch of the same step
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    ema.on_validation_start(trainer, module)
    assert torch.allclose(model.weight, expected)
    ema.on_validation_end(trainer, module)
    assert float(model.weight.detach()) == 7
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    ema.on_save_checkpoint(trainer, module, checkpoint)
    assert torch.allclose(checkpoint["state_dict"]["weight"], expected)
    assert float(checkpoint["raw_state_dict"]["weight"]) == 7
    # A buffer is a state, not a weight: its current value ships.
    assert "temperature" in checkpoint["state_dict"]


def test_ema_decay_rises_to_its_limit() -> None:
    decays = [ema_decay(step, 0.99) for step in range(2000)]
    assert decays == sorted(decays)
    assert decays[0] == pytest.approx(0.1)
    assert decays[-1] == 0.99


def test_an_impossible_annealing_is_refused(make_codec: Callable[..., Any]) -> None:
    for share in (0, 1.1, math.nan):
        with pytest.raises(ConfigError, match="anneal_until"):
            LitCodec(make_codec(), MSSSIMLoss(8.73, 2.4, 60.5), anneal_until=share)


def test_throughput_excludes_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    logged: list[float] = []
    module: Any = SimpleNamespace(log=lambda key, value, **_: logged.append(value))
    trainer: Any = SimpleNamespace(world_size=1)
    throughput = Throughput(warmup=1)
    throughput.on_train_start(trainer, module)
    for seconds in (50.0, 2.0, 2.0):
        clock[0] += seconds
        throughput.on_train_batch_end(trainer, module, None, torch.zeros(4, 3, 8, 8), 0)
    clock[0] += 1000.0
    throughput.on_validation_end(trainer, module)
    clock[0] += 2.0
    throughput.on_train_batch_end(trainer, module, None, torch.zeros(4, 3, 8, 8), 0)
    assert throughput.images_per_s == pytest.approx(2.0)
    assert len(logged) == 4


def test_second_interrupt_is_immediate() -> None:
    stop = StopRequest()
    with catch_signals(stop):
        signal.raise_signal(signal.SIGINT)
        assert stop.signum == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_is_a_stop_request() -> None:
    stop = StopRequest()
    with catch_signals(stop):
        signal.raise_signal(signal.SIGTERM)
    assert stop.signum == signal.SIGTERM


def test_copied_checkpoint_survives_a_new_original(tmp_path: Any) -> None:
    write_checkpoint({"step": 1}, tmp_path / "last.ckpt")
    copy_file(tmp_path / "last.ckpt", tmp_path / "best.ckpt")
    write_checkpoint({"step": 2}, tmp_path / "last.ckpt")
    read = {p.name: torch.load(p, weights_only=True)["step"] for p in tmp_path.iterdir()}
    assert read == {"last.ckpt": 2, "best.ckpt": 1}


def test_lambda_is_not_architecture() -> None:
    rate = {"_target_": "tngexp.rate.fixed.FixedRate"}
    one = {"rate": {**rate, "lmbda": 1}, "transform": {"N": 8}}  # as earlier versions wrote it
    two: dict[str, Any] = {"rate": rate, "transform": {"N": 8}}
    assert architecture_difference(one, two) == []
    two["transform"] = {"N": 16}
    assert architecture_difference(one, two) == ["encoder.N: 8 in the checkpoint, 16 now"]


def test_error_panel_is_amplified_and_centred() -> None:
    x = torch.full((3, 4, 5), 0.5)
    result = ImageResult(
        None, 1.0, 1.0, 0.5, 0.5, 0.1, {}, 0.01, 30.0, math.nan, x, x + 0.05, torch.zeros(2)
    )
    row = comparison_row(result)
    right = row.getpixel((2 * (5 + 4) + 2, 16 + 2))
    assert right == pytest.approx(((0.5 + ERROR_GAIN * 0.05) * 255,) * 3, abs=1)


def test_validation_of_small_images_reports_what_can_be_measured(
    make_codec: Callable[..., Any],
) -> None:
    lit = LitCodec(
        make_codec(),
        MSSSIMLoss(8.73, 2.4, 60.5),
        lambda p: torch.optim.SGD(p, lr=1.0),
    ).eval()
    with torch.no_grad():
        (result,) = lit.validation_step(torch.zeros(1, 3, 50, 70, dtype=torch.uint8), 0)
    assert result.loss is None
    assert math.isnan(result.ms_ssim)
    assert result.bpp == pytest.approx(result.y_bpp + result.z_bpp)
    assert math.isfinite(result.psnr_db)
    assert result.x_hat.shape == (3, 50, 70)


def test_images_are_scaled() -> None:
    assert float(to_float(torch.tensor([255], dtype=torch.uint8))) == 1.0
    assert float(to_float(torch.tensor([0.5]))) == 0.5
