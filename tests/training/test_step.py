"""What each optimizer step of a real run does to the weights: schedule, clipping, averaging, λ."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

import tngexp
from tngexp.model.codec import Codec
from tngexp.training.train import TrainResult

Run = Callable[..., TrainResult]

# An update of plain gradient descent is −lr · gradient: both can be read off the weights.
DESCENT = ["optimizer._target_=torch.optim.SGD", "~optimizer.betas", "optimizer.lr=1e-4"]


class Step(NamedTuple):
    """One optimizer step; the weights in the order of ``named_parameters``."""

    lr: float
    before: list[Tensor]
    after: list[Tensor]

    def length(self) -> float:
        """Euclidean length of the update over the learning rate."""
        moved = [a.double() - b.double() for a, b in zip(self.after, self.before, strict=True)]
        return float(torch.cat([m.flatten() for m in moved]).norm()) / self.lr


def weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]


@pytest.fixture
def steps() -> Iterator[list[Step]]:
    """Every step that an optimizer makes in this test, through torch's own hooks."""
    made: list[Step] = []
    start: list[tuple[float, list[Tensor]]] = []

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        start.append((optimizer.param_groups[0]["lr"], weights(optimizer)))

    def after(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        made.append(Step(*start.pop(), weights(optimizer)))

    hooks = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
    yield made
    for hook in hooks:
        hook.remove()


def rows(result: TrainResult) -> list[dict[str, float]]:
    """What logger=csv holds of each training step."""
    assert result.logs is not None
    with (result.logs / "metrics.csv").open() as file:
        found = [row for row in csv.DictReader(file) if row["train/loss"]]
    return [{key: float(value) for key, value in row.items() if value} for row in found]


@pytest.mark.parametrize(
    ("shape", "decay"), [("linear", [0.775, 0.55, 0.325]), ("cosine", [0.8682, 0.55, 0.2318])]
)
def test_the_learning_rate_follows_the_schedule(
    run: Run, steps: list[Step], shape: str, decay: list[float]
) -> None:
    run(
        "trainer.max_steps=8",
        "trainer.val_check_interval=8",
        "optimizer.lr=1e-3",
        "scheduler.warmup=2",
        "scheduler.decay_start=0.5",
        "scheduler.final=0.1",
        f"scheduler.shape={shape}",
    )
    expected = [1 / 3, 2 / 3, 1, 1, 1, *decay]
    assert [step.lr for step in steps] == pytest.approx([1e-3 * f for f in expected], rel=1e-3)


def test_updates_respect_the_clip(run: Run, steps: list[Step]) -> None:
    common = [*DESCENT, "trainer.max_steps=3", "trainer.precision=32-true", "logger=csv"]
    clipped = run(*common, "trainer.gradient_clip_val=2", name="clipped")
    assert [step.length() for step in steps] == pytest.approx([2.0] * 3, rel=0.01)
    # The log tells the norm before clipping, so that a user sees how much is cut off.
    assert all(row["train/grad_norm"] > 10 for row in rows(clipped))

    steps.clear()
    free = run(*common, "trainer.gradient_clip_val=null", name="free")
    norms = [row["train/grad_norm"] for row in rows(free)]
    assert [step.length() for step in steps] == pytest.approx(norms, rel=0.01)
    assert min(norms) > 10


def test_a_short_gradient_is_not_stretched(run: Run, steps: list[Step]) -> None:
    common = [*DESCENT, "trainer.max_steps=1", "trainer.precision=32-true", "logger=csv"]
    result = run(*common, "trainer.gradient_clip_val=1e6")
    assert steps[0].length() == pytest.approx(rows(result)[0]["train/grad_norm"], rel=0.01)
    assert steps[0].length() < 1e5


def test_shipped_weights_are_the_average_over_the_steps(run: Run, steps: list[Step]) -> None:
    result = run("trainer.max_steps=3", "callbacks.ema.decay=0.2")
    assert len(steps) == 3
    average = [w.double() for w in steps[0].before]
    # (1 + t) / (10 + t) is 2/11, 3/12, 4/13: the limit of 0.2 holds from the second step on.
    for step, decay in zip(steps, (2 / 11, 0.2, 0.2), strict=True):
        average = [
            decay * a + (1 - decay) * w.double() for a, w in zip(average, step.after, strict=True)
        ]
    checkpoint = torch.load(result.last, weights_only=True)
    names = [f"codec.{name}" for name, _ in tngexp.load(result.last).model.named_parameters()]
    for i, name in enumerate(names):
        assert torch.equal(checkpoint["raw_state_dict"][name], steps[-1].after[i]), name
        shipped = checkpoint["state_dict"][name].double()
        torch.testing.assert_close(shipped, average[i], rtol=1e-5, atol=1e-7, msg=name)


@pytest.fixture
def qualities(monkeypatch: pytest.MonkeyPatch) -> list[Tensor | None]:
    """The quality that each training step asks of the codec, (B,)."""
    seen: list[Tensor | None] = []
    original = Codec.forward

    def forward(self: Codec, x: Tensor, quality: Tensor | None = None) -> Any:
        if self.training:
            seen.append(quality)
        return original(self, x, quality)

    monkeypatch.setattr(Codec, "forward", forward)
    return seen


def test_variable_rate_draws_every_level_for_each_image(
    run: Run, qualities: list[Tensor | None]
) -> None:
    run(
        "rate=variable",
        "rate.levels=3",
        "data.batch_size=4",
        "trainer.max_steps=8",
        "trainer.val_check_interval=8",
    )
    found = [q for q in qualities if q is not None]
    assert len(found) == len(qualities) == 8
    drawn = torch.stack(found)
    assert drawn.shape == (8, 4)
    assert drawn.unique().tolist() == [0, 0.5, 1]
    assert any(len(batch.unique()) > 1 for batch in drawn)  # each image its own
    assert len({tuple(batch.tolist()) for batch in drawn}) > 1  # each step anew


def test_quality_decides_the_lambda_of_the_loss(run: Run, qualities: list[Tensor | None]) -> None:
    result = run(
        "rate=variable",
        "rate.levels=4",
        "loss.lmbda_min=0.002",
        "loss.lmbda_max=0.054",
        "data.batch_size=1",
        "trainer.max_steps=12",
        "trainer.val_check_interval=12",
        "trainer.precision=32-true",
        "logger=csv",
    )
    logged = rows(result)
    assert len(logged) == len(qualities) == 12
    expected = [0.002 * 27 ** float(q) for q in qualities if q is not None]
    assert len({round(value, 6) for value in expected}) > 1
    assert [row["train/lmbda"] for row in logged] == pytest.approx(expected, rel=1e-4)
    for row in logged:
        loss = row["train/bpp"] + row["train/lmbda"] * row["train/distortion"]
        assert row["train/loss"] == pytest.approx(loss, rel=1e-4)


def test_a_loss_that_changes_is_told_how_far_the_run_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(
        "tngexp.losses.base.RateDistortionLoss.at", lambda loss, progress: told.append(progress)
    )
    first = run("trainer.max_steps=4", name="first")
    assert told == [0, 0.25, 0.5, 0.75]
    told.clear()
    run("trainer.max_steps=4", name="warm", init_from=str(first.last))
    assert told == [1.0] * 4  # good weights need nobody to lead them
    told.clear()
    run("trainer.max_steps=8", name="first", resume=str(first.last))
    assert told == [0.5, 0.625, 0.75, 0.875]


def test_a_resumed_warm_start_stays_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("trainer.max_steps=1", name="first")
    warm = run("trainer.max_steps=1", name="warm", init_from=str(first.last))
    told: list[float] = []
    monkeypatch.setattr(
        "tngexp.losses.base.RateDistortionLoss.at", lambda loss, progress: told.append(progress)
    )
    run("trainer.max_steps=3", name="warm", resume=str(warm.last))
    run("trainer.max_steps=4", name="warm", resume=str(warm.last))
    assert told == [1.0, 1.0, 1.0]
