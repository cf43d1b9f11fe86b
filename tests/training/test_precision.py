"""bfloat16 where it was asked for or pays, and float32 where figures are made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from tngexp.codec import Codec
from tngexp.train import TrainResult
from tngexp.training import precision
from tngexp.training.module import LitCodec
from tngexp.training.precision import cpu_multiplies_bf16, resolve_precision
from tngexp.types import CodecOutput, ConfigError


def test_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(precision, "cpu_multiplies_bf16", lambda: True)
    assert resolve_precision("auto", cpu) == "bf16-mixed"
    assert resolve_precision("auto", torch.device("mps")) == "32-true"
    monkeypatch.setattr(precision, "cpu_multiplies_bf16", lambda: False)
    assert resolve_precision("auto", cpu) == "32-true"
    assert resolve_precision("bf16-mixed", cpu) == "bf16-mixed"


def test_precision_without_torchs_private_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert cpu_multiplies_bf16() is False


@pytest.mark.parametrize("asked", ["bf16-mixed", "32-true"])
def test_the_trainer_gets_the_precision_asked_for(
    run: Callable[..., TrainResult], monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Computes nothing, so that it also runs where bfloat16 is emulated."""
    found: list[str] = []

    def fit(self: pl.Trainer, *_: Any, **__: Any) -> None:
        found.append(str(self.precision))
        raise ConfigError("seen enough")

    monkeypatch.setattr(pl.Trainer, "fit", fit)
    with pytest.raises(ConfigError, match="seen enough"):
        run(f"trainer.precision={asked}")
    assert found == [asked]


@pytest.mark.skipif(
    not (cpu_multiplies_bf16() or torch.cuda.is_available()),
    reason="this processor emulates bfloat16, which may take for ever",
)
@pytest.mark.parametrize(
    ("asked", "computed"), [("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)]
)
def test_transforms_compute_in_it_and_figures_stay_float32(
    run: Callable[..., TrainResult],
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    computed: torch.dtype,
) -> None:
    layers: set[torch.dtype] = set()
    figures: set[torch.dtype] = set()
    forward, training_step = Codec.forward, LitCodec.training_step

    def watched_forward(self: Codec, *args: Any, **kwargs: Any) -> CodecOutput:
        hooks = [
            module.register_forward_hook(lambda _, __, output: layers.add(output.dtype))
            for module in self.transform.modules()
            # The picture after the training is made outside of the trainer, in float32.
            if isinstance(module, torch.nn.Conv2d) and self.training
        ]
        output = forward(self, *args, **kwargs)
        for hook in hooks:
            hook.remove()
        assert output.z_bits is not None
        figures.update((output.y_bits.dtype, output.z_bits.dtype))
        return output

    def watched_step(self: LitCodec, *args: Any, **kwargs: Any) -> Any:
        loss = training_step(self, *args, **kwargs)
        figures.add(loss.dtype)
        return loss

    monkeypatch.setattr(Codec, "forward", watched_forward)
    monkeypatch.setattr(LitCodec, "training_step", watched_step)
    result = run(f"trainer.precision={asked}", "trainer.max_steps=1")
    assert layers == {computed}
    assert figures == {torch.float32}
    stored = torch.load(result.last, weights_only=True)["state_dict"]
    assert all(weight.dtype != torch.bfloat16 for weight in stored.values())
