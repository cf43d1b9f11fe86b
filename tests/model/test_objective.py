"""What a codec was trained for, and descriptions of earlier versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import checkpoint, codec_config

from tngexp import zoo
from tngexp.io import load, read_checkpoint
from tngexp.losses import MixedLoss, PerceptualLoss
from tngexp.model.codec import Codec
from tngexp.model.legacy import modernise
from tngexp.model.objective import Objective, objective, objective_of

OLD_RATES = {
    "fixed": {"lmbda": 0.02},
    "variable": {"lmbda_min": 0.001, "lmbda_max": 0.05},
}


@pytest.mark.parametrize("rate", OLD_RATES)
def test_a_checkpoint_with_lambda_in_its_rate_loads(
    make_codec: Callable[..., Codec], tmp_path: Path, rate: str
) -> None:
    codec = make_codec(rate=rate).eval()
    path = checkpoint(codec, tmp_path / "old.ckpt")
    content = torch.load(path, weights_only=True)
    content["tngexp"]["codec"]["rate"] |= OLD_RATES[rate]
    torch.save(content, path)
    loaded = load(path)
    assert loaded.model.config == codec.config
    for name, weight in codec.state_dict().items():
        assert torch.equal(weight, loaded.model.state_dict()[name])
    assert objective(read_checkpoint(path)["tngexp"]) == Objective(**OLD_RATES[rate])


def test_only_our_rates_had_lambda() -> None:
    config = codec_config()
    assert modernise(config) == config
    mine = {"rate": {"_target_": "mine.Rate", "lmbda": 3}}
    assert modernise(mine) == mine
    assert modernise({}) == {}


def test_an_objective_is_that_of_the_loss_and_comes_back_from_a_file() -> None:
    loss = MixedLoss(
        lmbda=3, lmbda_min=1, lmbda_max=9, mse_weight=2, msssim_weight=0.25, balance=0.5
    )
    mine = objective_of(loss)
    assert mine == Objective("mixed", 3.0, 1.0, 9.0, 0.5, 0.25, 2.0)
    assert mine.range == (1.0, 9.0)
    assert objective({"codec": codec_config(), "objective": mine.as_dict()}) == mine
    perceptual = PerceptualLoss(lmbda=3, lmbda_min=1, lmbda_max=9, weights={"mse": 1.0})
    assert objective_of(perceptual) == Objective("perceptual", 3.0, 1.0, 9.0, 0.0)
    assert not any(name.endswith("weight") for name in objective_of(perceptual).as_dict())


MIXED: dict[str, Any] = {"distortion": "mixed", "lmbda_min": 1.0, "lmbda_max": 9.0}


def test_weights_of_a_mixed_loss_are_in_the_runs_configuration_if_nowhere_else() -> None:
    """Checkpoints of earlier versions."""
    run = {"_target_": "tngexp.losses.mixed.MixedLoss", "mse_weight": 0.5, "msssim_weight": 0}
    content = {"objective": MIXED, "config": {"loss": run}}
    assert objective(content) == Objective(**MIXED, msssim_weight=0.0, mse_weight=0.5)
    told = {**content, "objective": {**MIXED, "mse_weight": 1, "msssim_weight": 2}}
    assert objective(told) == Objective(**MIXED, msssim_weight=2.0, mse_weight=1.0)
    another = {**MIXED, "distortion": "mse"}
    assert objective({**content, "objective": another}) == Objective(**another)


@pytest.mark.parametrize("weights", [(None, 1), (1, float("nan")), (-1, 1), (0, 0), ("1", 1)])
def test_weights_that_make_no_sense_are_none(weights: tuple[Any, Any]) -> None:
    told = dict(zip(("msssim_weight", "mse_weight"), weights, strict=True))
    assert objective({"objective": MIXED | told}) == Objective(**MIXED)


def test_the_loss_of_an_earlier_runs_configuration_tells() -> None:
    loss = {"_target_": "tngexp.losses.mse.MSELoss", "lmbda": 1, "lmbda_min": 2, "lmbda_max": 8}
    content = {"codec": codec_config(), "config": {"loss": {**loss, "balance": 0}}}
    assert objective(content) == Objective("mse", 1.0, 2.0, 8.0, 0.0)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"codec": {"rate": {}}, "config": None},
        {"codec": 3, "objective": []},
        {"objective": {"lmbda": "1", "lmbda_min": float("nan"), "lmbda_max": -1}},
        {"objective": {"lmbda": True, "lmbda_min": 2, "lmbda_max": 1}},
    ],
)
def test_where_nothing_sensible_is_told_there_is_none(content: dict[str, Any]) -> None:
    assert objective(content) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("tng-objective", (0.0003, 0.13)), ("tng-subjective", (0.4, 440)), ("tng-mixed", (0.4, 440))],
)
def test_shipped_codecs_tell_their_range(name: str, expected: tuple[float, float]) -> None:
    found = objective(read_checkpoint(zoo.path(name))["tngexp"])
    assert found is not None
    assert found.range == pytest.approx(expected)
