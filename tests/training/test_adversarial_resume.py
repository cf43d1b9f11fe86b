"""An adversarial run that is stopped, divided among processes, or resumed by another command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tngexp.runs.interrupt import Interrupted, StopRequest
from tngexp.training.adversarial import LitAdversarial
from tngexp.training.train import TrainResult
from tngexp.types import CheckpointError

Run = Callable[..., TrainResult]

JUDGED = [
    "loss._target_=judged_loss.JudgedMSE",
    "+loss.adversarial={kind:relativistic,weight:20.0,matching:10.0,ramp:[0.0,0.5]}",
    "critic=patch",
    "critic.channels=[4,6,8]",
    "critic.r1=0.1",
    "critic.r1_every=2",
    "trainer.precision=32-true",
]


def tensors(path: Path) -> dict[str, Tensor]:
    """Weights of both sides, raw and averaged, and what both optimizers remember."""
    content = torch.load(path, weights_only=True)
    found: dict[str, Tensor] = {}
    for part in ("state_dict", "raw_state_dict", "critic_state_dict"):
        found |= {f"{part} {name}": tensor for name, tensor in content[part].items()}
    assert len(content["optimizer_states"]) == 2
    for i, state in enumerate(content["optimizer_states"]):
        for weight, kept in state["state"].items():
            found |= {f"optimizer {i} {weight} {name}": kept[name] for name in kept}
    return found


def stopped_and_resumed(
    run: Run, monkeypatch: pytest.MonkeyPatch, plan: list[str], at: int
) -> tuple[TrainResult, TrainResult]:
    """A whole run, and one that a signal stops during step ``at`` and a second command ends."""
    whole = run(*plan, name="whole")
    stop, original = StopRequest(), LitAdversarial.on_train_batch_start

    def on_train_batch_start(self: LitAdversarial, batch: Any, batch_idx: int) -> None:
        if self.global_step + 1 == at:
            stop.signum = 15
        original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(LitAdversarial, "on_train_batch_start", on_train_batch_start)
        with pytest.raises(Interrupted) as stopped:
            run(*plan, name="part", stop=stop)
    assert stopped.value.step == at
    return whole, run(*plan, name="rest", resume=str(stopped.value.checkpoint))


def assert_same(one: TrainResult, two: TrainResult) -> None:
    left, right = tensors(one.last), tensors(two.last)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert one.val == two.val


def test_a_resumed_run_equals_one_that_never_stopped(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = [*JUDGED, "quantizer=soft_round", "trainer.max_steps=5", "trainer.val_check_interval=5"]
    assert_same(*stopped_and_resumed(run, monkeypatch, plan, 3))


@pytest.mark.slow
def test_a_resumed_run_of_200_steps_equals_one_that_never_stopped(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = [*JUDGED, "rate=variable", "trainer.max_steps=200", "trainer.val_check_interval=50"]
    assert_same(*stopped_and_resumed(run, monkeypatch, plan, 100))


def test_two_processes_are_one_with_the_same_global_batch(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The second process imports the loss of these tests, too.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
    # No noise, whose seed depends on the process, and no rounding blown up to a whole step.
    plan = [*JUDGED, "quantizer=ste", "rate=fixed", "trainer.max_steps=3", "logger=none"]
    plan += ["+optimizer.eps=1e-4", "+critic_optimizer.eps=1e-4", "trainer.accelerator=cpu"]
    one = run(*plan, "data.batch_size=4", name="one")
    two = run(*plan, "data.batch_size=2", "trainer=ddp", "trainer.devices=2", name="two")
    left, right = tensors(one.last), tensors(two.last)
    for part in ("raw_state_dict", "critic_state_dict", "optimizer 1"):
        names = [name for name in left if name.startswith(part) and left[name].numel() > 1]
        a, b = (torch.cat([side[name].flatten() for name in names]) for side in (left, right))
        assert (a - b).norm() <= 2e-5 * a.norm(), part
    assert two.val["val/loss"] == pytest.approx(one.val["val/loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (["loss=mse"], JUDGED, "that run has had no critic, this one has one"),
        (JUDGED, ["loss=mse"], "that run has had a critic, this one has none"),
        (JUDGED, [*JUDGED, "critic.channels=[4,6,10]"], "another critic, with other layers"),
        (
            JUDGED,
            [*JUDGED, "+critic_optimizer.amsgrad=true"],
            "its critic's optimizer kept .*max_exp_avg_sq",
        ),
    ],
)
def test_another_critic_than_before_is_refused(
    run: Run, first: list[str], second: list[str], message: str
) -> None:
    before = run(*first, "trainer.max_steps=1", name="first")
    with pytest.raises(CheckpointError, match=rf"{message}.*init_from="):
        run(*second, "trainer.max_steps=2", resume=str(before.last), name="second")


def test_a_codec_starts_from_an_adversarial_run_and_the_other_way_round(run: Run) -> None:
    plain = run("loss=mse", "trainer.max_steps=1", name="plain")
    judged = run(*JUDGED, "trainer.max_steps=1", init_from=str(plain.best), name="judged")
    again = run("loss=mse", "trainer.max_steps=1", init_from=str(judged.best), name="again")
    assert judged.started_from is not None
    assert again.started_from is not None
    assert "nothing is new" in again.started_from


def test_what_the_command_line_says_of_the_critics_optimizer_acts(run: Run) -> None:
    first = run(*JUDGED, "trainer.max_steps=1", name="first")
    words = ["critic_optimizer.lr=1e-6", "critic_optimizer.betas=[0.25,0.75]"]
    second = run(*JUDGED, *words, "trainer.max_steps=2", resume=str(first.last), name="second")
    codec, critic = torch.load(second.last, weights_only=True)["optimizer_states"]
    assert critic["param_groups"][0]["betas"] == (0.25, 0.75)
    assert critic["param_groups"][0]["initial_lr"] == 1e-6
    assert codec["param_groups"][0]["initial_lr"] != 1e-6
