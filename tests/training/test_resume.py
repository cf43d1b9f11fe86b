"""Stopping and resuming is the same as never having stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tngexp.datasets.folder import FolderDataModule
from tngexp.io import CheckpointError
from tngexp.runs.interrupt import Interrupted, StopRequest
from tngexp.training.callbacks.checkpoints import Checkpoints
from tngexp.training.measure import measure_of
from tngexp.training.module import LitCodec
from tngexp.training.optimizer import make_optimizer
from tngexp.training.resume import ResumeWarning, _check_optimizer
from tngexp.training.train import TrainResult

Losses = list[tuple[int, int, float]]


@pytest.fixture
def record(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Losses]:
    """Record every loss; set the stop request after the given step."""
    original = LitCodec.on_train_batch_start
    state: dict[str, Any] = {"losses": [], "stop": None, "at": 0}

    def on_train_batch_end(self: LitCodec, outputs: Any, batch: Any, batch_idx: int) -> None:
        assert self.last_terms is not None
        state["losses"].append((self.global_step, batch_idx, float(self.last_terms.loss)))

    def on_train_batch_start(self: LitCodec, batch: Any, batch_idx: int) -> None:
        # Asked for during step ``at``, like a signal that arrives in the middle of it.
        if state["stop"] is not None and self.global_step + 1 == state["at"]:
            state["stop"].signum = 2
        original(self, batch, batch_idx)

    monkeypatch.setattr(LitCodec, "on_train_batch_end", on_train_batch_end, raising=False)
    monkeypatch.setattr(LitCodec, "on_train_batch_start", on_train_batch_start)

    def start(stop: StopRequest | None = None, at: int = 0) -> Losses:
        state.update(losses=[], stop=stop, at=at)
        return state["losses"]  # type: ignore[no-any-return]

    return start


@pytest.mark.parametrize(
    ("choices", "at"),
    [
        (["quantizer=soft_to_hard", "rate=variable", "trainer.val_check_interval=2"], 3),
        (
            [
                "quantizer=soft_round",
                "trainer.accumulate_grad_batches=2",
                "trainer.val_check_interval=3",
            ],
            3,
        ),
        (["model=context", "quantizer=noise", "trainer.val_check_interval=100"], 2),
    ],
)
def test_resumed_run_equals_uninterrupted_one(
    run: Callable[..., TrainResult],
    record: Callable[..., Losses],
    tmp_path: Path,
    choices: list[str],
    at: int,
) -> None:
    choices = [*choices, "trainer.max_steps=6", "trainer.precision=32-true"]
    losses = record()
    whole = run(*choices, name="whole")
    expected = [loss for _, _, loss in losses]

    stop = StopRequest()
    losses = record(stop, at)
    with pytest.raises(Interrupted) as info:
        run(*choices, name="part", stop=stop)
    assert info.value.step == at
    last = tmp_path / "part/checkpoints/last.ckpt"
    assert info.value.checkpoint == last
    found = [loss for _, _, loss in losses]

    losses = record()
    resumed = run(*choices, f"resume={last}", name="rest")
    found += [loss for _, _, loss in losses]

    assert len(expected) >= at + 3
    # The step in which the stop fell has its loss recorded in the module hook, which an
    # interrupt between the callbacks and the module skips.
    per_step = len(expected) // 6
    del expected[at * per_step - 1]
    assert found == expected
    for name in ("best", "last"):
        one = torch.load(getattr(whole, name), weights_only=True)
        two = torch.load(getattr(resumed, name), weights_only=True)
        for key in ("state_dict", "raw_state_dict"):
            assert one[key].keys() == two[key].keys()
            for weight in one[key]:
                assert torch.equal(one[key][weight], two[key][weight]), (name, key, weight)
    assert whole.val == resumed.val


def test_resume_may_raise_max_steps(
    run: Callable[..., TrainResult], record: Callable[..., Losses]
) -> None:
    first = run("trainer.max_steps=2", name="first")
    with pytest.raises(CheckpointError, match=r"already at step 2 .*trainer\.max_steps=4"):
        run("trainer.max_steps=2", f"resume={first.last}", name="again")
    losses = record()
    second = run("trainer.max_steps=4", f"resume={first.last}", name="second")
    assert [step for step, _, _ in losses] == [3, 4]
    assert second.steps == 4


def test_another_loss_makes_a_run_look_for_its_best_anew(run: Callable[..., TrainResult]) -> None:
    first = run("trainer.max_steps=2", "loss.lmbda=0.001")
    # A hundred times the λ: no step will ever reach the old loss, which says nothing about it.
    other = run("trainer.max_steps=4", "loss.lmbda=0.1", f"resume={first.last}")
    assert other.best_step == 4
    stored = torch.load(other.best, weights_only=True)
    assert stored["global_step"] == 4
    assert stored["tngexp"]["config"]["loss"]["lmbda"] == 0.1


def test_the_files_of_a_tensor_decide_over_its_figures_as_folders_do() -> None:
    folder = measure_of({"loss": {}, "data": {"_target_": "a", "root": "b", "val_root": None}})
    # As earlier versions have it in their checkpoints, which go on to compare.
    assert folder["photos"].keys() == {
        *("_target_", "root", "val_root", "val_folder", "val_images", "val_crop")
    }
    tensor = [measure_of({"loss": {}, "data": {"file": f, "val_file": "v"}}) for f in ("a", "b")]
    assert tensor[0] != tensor[1]
    assert tensor[0]["photos"]["val_file"] == "v"


def test_the_photos_that_are_held_out_decide_over_the_best(photos: Path, tmp_path: Path) -> None:
    config: dict[str, Any] = {"loss": {}, "data": {}}
    splits = (FolderDataModule(photos, crop=64, val_images=count) for count in (1, 2))
    one, two = (measure_of(config, split) for split in splits)
    (tmp_path / "best.ckpt").touch()
    earlier = {key: value for key, value in one.items() if key != "held_out"}
    for before, best in ((one, 1.0), (two, math.inf), (earlier, 1.0)):
        checkpoints = Checkpoints(tmp_path, StopRequest(), one)
        state = {"best": 1.0, "best_step": 1, "best_metrics": {}, "measure": before}
        checkpoints.load_state_dict(state)
        assert checkpoints.best == best


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(
    run: Callable[..., TrainResult], tmp_path: Path
) -> None:
    choices = ["trainer.val_check_interval=2", "trainer.precision=32-true"]
    whole = run(*choices, "trainer.max_steps=6", name="whole")
    run(*choices, "trainer.max_steps=4", name="part")
    last = tmp_path / "part/checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    with pytest.warns(ResumeWarning, match=r"last.ckpt: not a readable.*previous.ckpt at step 2"):
        resumed = run(*choices, f"resume={last}", "trainer.max_steps=6", name="rest")
    assert resumed.val.keys() == whole.val.keys()
    # Both damaged: nothing can stand in, and the message names the file that was asked for.
    last.with_name("previous.ckpt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"last.ckpt: not a readable checkpoint"):
        run(*choices, f"resume={last}", "trainer.max_steps=6", name="none")


def test_noise_depends_on_seed_step_and_micro_batch(make_codec: Callable[..., Any]) -> None:
    from tngexp.training.noise import mix

    seeds = {mix(s, t, m) for s in range(4) for t in range(50) for m in range(4)}
    assert len(seeds) == 4 * 50 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert issubclass(LitCodec, pl.LightningModule)


@pytest.fixture
def groups() -> Iterator[list[dict[str, Any]]]:
    """The options of the optimizer at each of its steps."""
    seen: list[dict[str, Any]] = []

    def step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        (group,) = optimizer.param_groups
        if len(group["params"]) > 1:  # no trial
            seen.append({key: value for key, value in group.items() if key != "params"})

    hook = register_optimizer_step_pre_hook(step)
    yield seen
    hook.remove()


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        (["optimizer.lr=1e-6"], "initial_lr", 1e-6),
        (["optimizer.betas=[0.5,0.75]"], "betas", (0.5, 0.75)),
        (["optimizer.weight_decay=0.25"], "weight_decay", 0.25),
        (["+optimizer.eps=1e-3"], "eps", 1e-3),
        (["optimizer=adam"], "decoupled_weight_decay", False),
        (["optimizer.fused=null"], "fused", None),
    ],
)
def test_what_the_command_line_says_of_the_optimizer_acts(
    run: Callable[..., TrainResult],
    groups: list[dict[str, Any]],
    words: list[str],
    option: str,
    value: Any,
) -> None:
    first = run("trainer.max_steps=2", name="first")
    before = groups[-1].get(option)
    groups.clear()
    second = run("trainer.max_steps=4", f"resume={first.last}", *words, name="second")
    assert [group[option] for group in groups] == [value, value]
    assert before != value
    (stored,) = torch.load(second.last, weights_only=True)["optimizer_states"]
    assert stored["param_groups"][0][option] == value


def test_the_learning_rate_of_a_resumed_run_is_its_own(
    run: Callable[..., TrainResult], groups: list[dict[str, Any]]
) -> None:
    first = run("trainer.max_steps=2", name="first")
    groups.clear()
    words = ["optimizer.lr=1e-6", "scheduler.decay_start=1", f"resume={first.last}"]
    run("trainer.max_steps=4", *words, name="second")
    assert [group["lr"] for group in groups] == [1e-6, 1e-6]


def test_another_average_than_before_acts(run: Callable[..., TrainResult]) -> None:
    first = run("trainer.max_steps=2", name="first")
    words = ["callbacks.ema.decay=0", "trainer.max_steps=3", f"resume={first.last}"]
    content = torch.load(run(*words, name="second").last, weights_only=True)
    # Without a memory of the past the average is the latest weights.
    assert all(
        torch.equal(w, content["state_dict"][k]) for k, w in content["raw_state_dict"].items()
    )


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (["optimizer._target_=torch.optim.SGD", "~optimizer.betas"], "this one needs nothing"),
        (["+optimizer.amsgrad=true"], "max_exp_avg_sq"),
        (["optimizer._target_=torch.optim.NAdam", "~optimizer.fused"], "mu_product"),
    ],
)
def test_an_optimizer_that_needs_another_memory_is_refused(
    run: Callable[..., TrainResult], words: list[str], needs: str
) -> None:
    first = run("trainer.max_steps=1", name="first")
    with pytest.raises(CheckpointError, match=rf"{needs}.*init_from=") as info:
        run("trainer.max_steps=2", f"resume={first.last}", *words, name="second")
    assert "exp_avg" in str(info.value)


def test_the_command_that_started_a_run_goes_on_with_it(
    run: Callable[..., TrainResult], record: Callable[..., Losses]
) -> None:
    """Experiments set init_from themselves, so that resume stands beside it."""
    base = run("trainer.max_steps=1", name="base")
    start = f"init_from={base.last}"
    whole = record()
    run(start, "trainer.max_steps=3", name="whole")
    kept = list(whole)
    whole.clear()
    first = run(start, "trainer.max_steps=3", "trainer.val_check_interval=1", name="again")
    whole.clear()
    early = first.last.with_name("previous.ckpt")
    early.replace(first.last)
    run(start, "trainer.max_steps=3", f"resume={first.last}", name="again")
    assert whole == kept[2:]  # from the run's own weights, not from those of init_from


@pytest.mark.parametrize("started", ["new weights", "init_from="])
def test_going_on_from_other_weights_than_the_run_did_is_refused(
    run: Callable[..., TrainResult], started: str
) -> None:
    base = run("trainer.max_steps=1", name="base")
    first = base
    if started == "init_from=":
        first = run(f"init_from={base.last}", "trainer.max_steps=1", name="first")
    with pytest.raises(CheckpointError, match=rf"started from {started}.*init_from=null"):
        run("trainer.max_steps=2", f"resume={first.last}", "init_from=tng-mixed", name="second")


def test_other_batches_per_step_take_effect_with_the_next_step(
    run: Callable[..., TrainResult], record: Callable[..., Losses]
) -> None:
    first = run("trainer.max_steps=3", "trainer.val_check_interval=3", name="first")
    losses = record()
    words = [
        "trainer.max_steps=6",
        "trainer.accumulate_grad_batches=2",
        "trainer.val_check_interval=6",
    ]
    second = run(*words, f"resume={first.last}", name="second")
    assert [step for step, _, _ in losses] == [3, 4, 4, 5, 5, 6]  # after each batch
    assert second.steps == 6


def test_a_loss_with_other_weights_is_refused(make_codec: Callable[..., Any]) -> None:
    """The optimizer's state would be that of other tensors."""
    make = make_optimizer({"_target_": "torch.optim.Adam", "lr": 1e-3})
    states = [{"state": {}, "param_groups": [{"params": [0, 1, 2]}]}]
    with pytest.raises(CheckpointError, match="has trained 3 tensors, this one would train 5"):
        _check_optimizer(Path("a.ckpt"), states, make, trained=5)
