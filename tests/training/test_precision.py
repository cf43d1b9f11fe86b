"""bfloat16 where it was asked for or pays, and float32 where figures are made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from support import limit_libraries, needs_bf16

from tngexp.devices import precision
from tngexp.devices.hardware import multiplies_bf16
from tngexp.devices.precision import resolve_precision
from tngexp.model.codec import Codec
from tngexp.training.module import LitCodec
from tngexp.training.train import TrainResult
from tngexp.types import CodecOutput, ConfigError


def test_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: True)
    assert resolve_precision("auto", cpu) == "bf16-mixed"
    assert resolve_precision("auto", torch.device("mps")) == "32-true"
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: False)
    assert resolve_precision("auto", cpu) == "32-true"
    with pytest.raises(ConfigError, match=r"no bf16 units .* trainer.precision=32-true"):
        resolve_precision("bf16-mixed", cpu)
    assert resolve_precision("32-true", cpu) == "32-true"
    assert resolve_precision("bf16-mixed", torch.device("mps")) == "bf16-mixed"


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, True),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, False),
        ({"ONEDNN_MAX_CPU_ISA": "avx512_core_vnni"}, False),
        ({"DNNL_MAX_CPU_ISA": "SSE41"}, False),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, False),
        ({"ATEN_CPU_CAPABILITY": "default"}, False),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "ATEN_CPU_CAPABILITY": "avx512"}, True),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, True),
        ({"ONEDNN_MAX_CPU_ISA": "ALL"}, True),
    ],
    ids=str,
)
def test_what_keeps_libraries_from_the_units_counts(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], found: bool
) -> None:
    limit_libraries(monkeypatch, variables)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert multiplies_bf16() is found


def test_precision_without_torchs_private_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert multiplies_bf16() is False


@pytest.mark.parametrize("asked", ["bf16-mixed", "32-true"])
def test_the_trainer_gets_the_precision_asked_for(
    run: Callable[..., TrainResult], monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Computes nothing, so that it also runs where there are no units for it."""
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: True)
    found: list[str] = []

    def fit(self: pl.Trainer, *_: Any, **__: Any) -> None:
        found.append(str(self.precision))
        raise ConfigError("seen enough")

    monkeypatch.setattr(pl.Trainer, "fit", fit)
    with pytest.raises(ConfigError, match="seen enough"):
        run(f"trainer.precision={asked}")
    assert found == [asked]


@pytest.mark.parametrize(
    ("asked", "computed"),
    [pytest.param("bf16-mixed", torch.bfloat16, marks=needs_bf16), ("32-true", torch.float32)],
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
