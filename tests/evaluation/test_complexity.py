"""Counts of the complexity report against figures worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import checkpoint, codec_config

from tngexp.bitstream import ImageCodec
from tngexp.cli.complexity import main
from tngexp.evaluation.complexity import measure, table
from tngexp.model.codec import Codec


def kmacs(codec: Codec | ImageCodec, width: int = 64, height: int = 64) -> dict[str, float]:
    coder = codec if isinstance(codec, ImageCodec) else ImageCodec(codec)
    report = measure(coder.eval(), width, height, repeats=1, code=False)
    return {part.name: part.kmacs_per_pixel for part in report.parts}


def test_transform_of_balle() -> None:
    """N = 128, M = 192 costs 42.2 kMAC/pixel each way: four 5×5 layers and three N×N divisions."""
    N, M = 128, 192
    codec = Codec.from_config(codec_config(prior="factorized", **{"encoder.N": N, "encoder.M": M}))
    stages = [(3, N, 4), (N, N, 16), (N, N, 64), (N, M, 256)]
    expected = sum(25 * a * b / area for a, b, area in stages)
    expected += sum(N * N / area for area in (4, 16, 64))  # generalised divisive normalisation
    found = kmacs(codec)
    assert list(found) == ["encoder (analysis)", "decoder (synthesis)"]
    assert found["encoder (analysis)"] == pytest.approx(expected / 1000, rel=1e-6)
    assert found["decoder (synthesis)"] == pytest.approx(expected / 1000, rel=1e-6)
    assert expected / 1000 == pytest.approx(42.2, abs=0.05)


def test_contexts_count_every_step(make_codec: Callable[..., Codec]) -> None:
    M = 16
    network = 4 * M * 53 + 53 * 42 + 42 * 2 * M  # 1×1 layers of M·10/3 and M·8/3 channels
    masked = kmacs(make_codec(prior="context"))["prior context"]
    # Every position once, with the 12 causal taps of 25 only.
    assert masked == pytest.approx((12 * M * 2 * M + network) / 256 / 1000, rel=1e-6)
    checkerboard = kmacs(make_codec(prior="checkerboard"))["prior context"]
    # The network at every position in both steps, the convolution in the second.
    assert checkerboard == pytest.approx((25 * M * 2 * M + 2 * network) / 256 / 1000, rel=1e-6)
    assert kmacs(make_codec(prior="hyperprior"))["prior context"] == 0


def test_report_of_an_odd_size(make_codec: Callable[..., Codec]) -> None:
    codec = ImageCodec(make_codec(prior="context")).eval()
    report = measure(codec, 70, 50, repeats=1)
    assert report.parameters == sum(p.numel() for p in codec.parameters())
    assert report.parameters == sum(part.parameters for part in report.parts)
    assert report.decode_steps == 8 + 3 * 3  # a latent of 8 × 4
    assert report.file_bytes is not None
    assert report.file_bytes > 20
    assert report.compress_s is not None
    assert report.compress_s > 0
    text = table(report, "small")
    assert f"{report.parameters:,}" in text
    assert "decode steps 17" in text


def test_command_line(
    make_codec: Callable[..., Codec],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["model=tng", "encoder.N=8", "encoder.M=8", "hyper.N=8"]) == 0
    assert "model=tng, untrained: 768×512" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []  # Hydra's folders included
    path = checkpoint(make_codec().eval(), tmp_path / "codec.ckpt")
    assert main([f"checkpoint={path}"]) == 0
    assert str(path) in capsys.readouterr().out
    assert main([f"checkpoint={path}", "model=tng"]) == 2
    assert "no other options" in capsys.readouterr().err
    assert main(["model=nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
