"""Starting from the weights of another training, in whole or in parts, and freezing parts."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console
from support import checkpoint, codec_config
from torch import Tensor

import tngexp
from tngexp import zoo
from tngexp.cli.train import main
from tngexp.io import CheckpointError, read_checkpoint
from tngexp.model.codec import Codec
from tngexp.model.objective import Objective
from tngexp.runs.summary import print_summary
from tngexp.training.train import TrainResult
from tngexp.training.warm_start import ALL, WarmStart, warm_start

MSE = Objective("mse", 0.01, 0.001, 0.064, 0.0)


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """A checkpoint of a codec whose weights are no start values."""

    def stored(objective: Objective | None = MSE, **choices: Any) -> Path:
        codec = Codec.from_config(codec_config(**choices)).eval()
        with torch.no_grad():
            for p in codec.parameters():
                p.add_(0.1 * torch.rand_like(p))
        path = checkpoint(codec, tmp_path / "stored.ckpt")
        if objective is not None:
            content = torch.load(path, weights_only=True)
            content["tngexp"]["objective"] = objective._asdict()
            torch.save(content, path)
        return path

    return stored


def start(
    path: Path, parts: tuple[str, ...] = ALL, wanted: Objective = MSE, **choices: Any
) -> tuple[Codec, dict[str, Tensor], WarmStart]:
    """A codec of ``choices`` after its warm start, and its weights before."""
    config = codec_config(**choices)
    codec = Codec.from_config(config)
    before = {name: t.clone() for name, t in codec.state_dict().items()}
    return codec, before, warm_start(codec, path, config, parts, wanted)


def weights(path: Path) -> dict[str, Tensor]:
    found = read_checkpoint(path)["state_dict"]
    return {name.removeprefix("codec."): t for name, t in found.items()}


def test_options_that_change_no_weight_do_not_matter(stored: Callable[..., Path]) -> None:
    path = stored()
    codec, _, told = start(path, quantizer="ste")
    for name, weight in weights(path).items():
        assert torch.equal(codec.state_dict()[name], weight), name
    total = len(codec.state_dict())
    assert str(told) == f"{total} of {total} tensors, nothing is new"


def test_all_is_refused_where_something_is_missing_and_what_fits_is_told(
    stored: Callable[..., Path],
) -> None:
    with pytest.raises(CheckpointError) as info:
        start(stored(), quantizer="soft_to_hard")
    message = str(info.value)
    assert "another architecture:\n  quantizer: tngexp.quantizers.mixed.Mixed in the" in message
    assert message.endswith("or take what fits with init_parts=[transform,prior].")


def test_named_parts_come_from_the_checkpoint_and_the_rest_is_new(
    stored: Callable[..., Path],
) -> None:
    path = stored()
    parts = ("transform", "prior.hyper.analysis")
    codec, before, told = start(path, parts, prior="checkerboard")
    there = weights(path)
    for name, weight in codec.state_dict().items():
        taken = name.startswith(("transform.", "prior.hyper.analysis."))
        assert torch.equal(weight, there[name] if taken else before[name]), name
    assert told.parts == parts
    assert set(told.new) == {"prior.side_density", "prior.hyper.synthesis", "prior.context"}
    assert 0 < told.taken < told.total == len(before)
    assert "tensors (transform, prior.hyper.analysis), new: prior." in str(told)


@pytest.mark.parametrize(
    ("part", "choices", "reason"),
    [
        (
            "prior",
            {"prior.mixture": 3, "encoder.N": 9},
            "prior.hyper.N: 8 in the checkpoint, 9 now\n  "
            "prior.mixture: 1 in the checkpoint, 3 now\n"
            "Choose the same options as it was trained with (hyper.N=8 prior.mixture=1), or",
        ),
        (
            "transform.analysis",
            {"encoder.N": 16},
            "encoder.N: 8 in the checkpoint, 16 now\n"
            "Choose the same options as it was trained with (encoder.N=8), or",
        ),
        ("quantizer", {"quantizer": "soft_to_hard"}, "quantizer: tngexp.quantizers.mixed.Mixed"),
        ("rate", {"rate": "variable"}, "rate.M: absent in the checkpoint, 16 now"),
    ],
)
def test_a_part_that_does_not_fit_names_the_option(
    stored: Callable[..., Path], part: str, choices: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CheckpointError) as info:
        start(stored(), (part,), **choices)
    message = str(info.value)
    assert f"the checkpoint's {part} does not fit this codec's:\n  {reason}" in message
    assert f"leave {part} out of init_parts" in message


@pytest.mark.parametrize(
    "sizes",
    [
        {"encoder.N": 16},
        {"encoder.N": 16, "hyper.N": 8, "prior.mixture": 3},
        {"encoder.M": 24, "prior.family": "laplace"},
    ],
)
def test_the_options_that_a_refusal_names_make_it_fit(
    stored: Callable[..., Path], sizes: dict[str, Any]
) -> None:
    path = stored(**sizes)
    with pytest.raises(CheckpointError) as info:
        start(path)
    (named,) = re.findall(
        r"as it was trained with \((.*)\), or another checkpoint", str(info.value)
    )
    options = dict(word.split("=") for word in named.split())
    assert options.keys() >= sizes.keys()
    numbers = {key: int(v) if v.isdecimal() else v for key, v in options.items()}
    assert start(path, **numbers)[2].new == ()


def test_a_refusal_names_no_options_where_a_component_is_another(
    stored: Callable[..., Path],
) -> None:
    with pytest.raises(CheckpointError, match="as it was trained with, or another checkpoint"):
        start(stored(**{"encoder.N": 16}), prior="checkerboard")


@pytest.mark.parametrize("levels", [8, 5])
@pytest.mark.parametrize("parts", [ALL, ("rate",)])
def test_gains_are_those_of_equal_lambda(
    stored: Callable[..., Path], parts: tuple[str, ...], levels: int
) -> None:
    path = stored(rate="variable")
    wanted = MSE._replace(lmbda_min=0.002, lmbda_max=0.128)
    codec, _, told = start(path, parts, wanted, rate="variable", **{"rate.levels": levels})
    old = Codec.from_config(codec_config(rate="variable"))
    old.load_state_dict(weights(path))
    # λ = 0.002 · 64^q here and 0.001 · 64^q there: qualities differ by log 2 / log 64 = 1/6.
    quality = torch.linspace(0, 1, levels)[: levels * 2 // 3]
    y = torch.rand(len(quality), 16, 2, 2)
    found, expected = codec.rate.scale(y, quality), old.rate.scale(y, quality + 1 / 6)
    torch.testing.assert_close(found, expected)
    found, expected = codec.rate.unscale(y, quality), old.rate.unscale(y, quality + 1 / 6)
    torch.testing.assert_close(found, expected)
    text = f"from λ 0.001 … 0.064 (8 levels) to 0.002 … 0.128 ({levels} levels)"
    assert told.gains == f"gain vectors interpolated {text}"


def test_gains_change_with_the_number_of_levels_alone(stored: Callable[..., Path]) -> None:
    path = stored(rate="variable")
    codec, _, told = start(path, rate="variable", **{"rate.levels": 15})
    torch.testing.assert_close(
        codec.state_dict()["rate.log_gain_encoder"][::2], weights(path)["rate.log_gain_encoder"]
    )
    assert told.gains == "gain vectors interpolated from 8 to 15 levels"


def test_gains_of_another_distortion_keep_their_quality(stored: Callable[..., Path]) -> None:
    path = stored(rate="variable")
    wanted = Objective("msssim", 16.0, 2.4, 60.5, 0.0)
    codec, _, told = start(path, wanted=wanted, rate="variable")
    for name in ("rate.log_gain_encoder", "rate.log_gain_decoder"):
        assert torch.equal(codec.state_dict()[name], weights(path)[name])
    assert told.gains is not None
    assert "another distortion" in told.gains
    same, _, told = start(path, rate="variable")
    assert told.gains is None
    assert torch.equal(same.rate.log_gain_encoder, codec.rate.log_gain_encoder)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "interpolated"),
    [
        (Objective("mse", 0.01, 0.0018, 0.0483, 0.5), True),
        (Objective("mse", 0.01, 0.0003, 0.13, 0.5), False),
        (Objective("msssim", 16.0, 2.4, 60.5, 0.5), False),
    ],
)
def test_a_shipped_codec_of_an_earlier_version_tells_its_range(
    wanted: Objective, interpolated: bool
) -> None:
    path = zoo.path("tng-objective-1")
    config = read_checkpoint(path)["tngexp"]["codec"]
    told = warm_start(Codec.from_config(config), path, config, ("rate",), wanted)
    assert ("interpolated from λ 0.0003 … 0.13" in (told.gains or "")) == interpolated


FROZEN = ("transform.analysis", "prior.hyper")


def test_frozen_parts_stay_exactly_what_they_were(run: Callable[..., TrainResult]) -> None:
    first = run("trainer.max_steps=2")
    words = [f"init_from={first.last}", f"freeze=[{','.join(FROZEN)}]", "trainer.max_steps=4"]
    words += ["optimizer.weight_decay=0.5", "optimizer.lr=1e-2", "trainer.precision=32-true"]
    result = run(*words, name="frozen")
    before = torch.load(first.last, weights_only=True)["state_dict"]
    after = torch.load(result.last, weights_only=True)
    frozen = tuple(f"codec.{part}." for part in FROZEN)
    names = [f"codec.{name}" for name, _ in tngexp.load(first.last).model.named_parameters()]
    trained = [name for name in names if not name.startswith(frozen)]
    assert 0 < len(trained) < len(names)
    for kind in ("state_dict", "raw_state_dict"):
        for name in names:
            same = torch.equal(after[kind][name], before[name])
            assert same == (name not in trained), (kind, name)
    assert len(after["optimizer_states"][0]["state"]) == len(trained)
    assert result.frozen is not None
    assert result.frozen.startswith("transform.analysis, prior.hyper: ")

    console = Console(width=100, record=True, file=io.StringIO())
    print_summary(result, "name", console)
    text = " ".join(console.export_text().replace("│", " ").split())
    assert "frozen transform.analysis, prior.hyper: " in text
    assert "started from" in text
    assert "nothing is new" in text


def test_a_frozen_run_resumes_with_the_same_parts_only(run: Callable[..., TrainResult]) -> None:
    words = ["freeze=transform", "trainer.precision=32-true", "trainer.val_check_interval=2"]
    words.append("scheduler.decay_start=1")  # a decay would depend on max_steps
    whole = run(*words, "trainer.max_steps=4", name="whole")
    half = run(*words, "trainer.max_steps=2", name="half")
    rest = run(*words, "trainer.max_steps=4", f"resume={half.last}", name="rest")
    one, two = (torch.load(r.last, weights_only=True) for r in (whole, rest))
    for kind in ("state_dict", "raw_state_dict"):
        for name, weight in one[kind].items():
            assert torch.equal(weight, two[kind][name]), (kind, name)
    equal = "freeze=[transform.synthesis,transform.analysis]"
    run(equal, "trainer.max_steps=3", f"resume={half.last}", name="equal")
    for other, said in (("[]", "nothing"), ("[prior]", "prior")):
        with pytest.raises(CheckpointError) as info:
            run(f"freeze={other}", "trainer.max_steps=4", f"resume={half.last}", name="other")
        assert f"frozen transform, this one would freeze {said}" in str(info.value)
        assert "set freeze=[transform] to go on" in str(info.value)


def test_the_command_tells_where_weights_come_from(
    run: Callable[..., TrainResult],
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    first = run("model=tng", "encoder.N=192", "trainer.max_steps=1")
    capfd.readouterr()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    GlobalHydra.instance().clear()
    words = [word for word in tiny if not word.startswith(("model=", "encoder.N="))]
    words += ["model=tng", "prior.mixture=3", f"init_from={first.last}", "run_dir=second"]
    words += ["init_parts=[transform,rate]", "freeze=[transform,rate]", "loss.lmbda_max=0.1"]
    assert main(["hydra/job_logging=none", "hydra/hydra_logging=none", *words]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    (line,) = (line for line in out.splitlines() if line.startswith("init_from="))
    assert line.startswith(f"init_from={first.last}: ")
    assert "tensors (transform, rate), new: prior; gain vectors interpolated" in line
    assert "transform, rate: " in out  # frozen, in the summary
    content = read_checkpoint(tmp_path / "second/checkpoints/best.ckpt")["tngexp"]
    assert content["config"]["init_parts"] == content["config"]["freeze"] == ["transform", "rate"]
    assert content["objective"]["distortion"] == "mse"
    assert content["objective"]["lmbda_max"] == 0.1
