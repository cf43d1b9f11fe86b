"""trainer.max_time is a budget: what follows the run's progress ends when the time does."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch.callbacks import timer
from rich.console import Console
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tngexp.cli.train import main
from tngexp.io import CheckpointError
from tngexp.quantizers.base import Quantizer
from tngexp.quantizers.soft_round import SoftRound
from tngexp.runs.interrupt import Interrupted, StopRequest
from tngexp.runs.summary import print_summary
from tngexp.training.callbacks import budget
from tngexp.training.callbacks.budget import Budget, time_share
from tngexp.training.module import LitCodec
from tngexp.training.train import TrainResult

Run = Callable[..., TrainResult]
OPTIONS = [
    "quantizer=soft_round", "trainer.precision=32-true", "trainer.val_check_interval=100",
    "scheduler.decay_start=0.5",
]  # fmt: skip


class Seen(NamedTuple):
    """What each optimizer step was made with."""

    lr: list[float]
    annealed: list[float]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that only the budget reads: a step takes a minute, a validation image 15 s."""
    now = [1000.0]
    monkeypatch.setattr(timer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for name, seconds in (("training_step", 60.0), ("validation_step", 15.0)):
        original = getattr(LitCodec, name)

        def timed(*args: Any, original: Any = original, seconds: float = seconds) -> Any:
            now[0] += seconds
            return original(*args)

        monkeypatch.setattr(LitCodec, name, timed)
    return now


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    found = Seen([], [])
    anneal = SoftRound.anneal

    def spy(self: Quantizer, share: float) -> None:
        found.annealed.append(share)
        anneal(self, share)  # type: ignore[arg-type]

    monkeypatch.setattr(SoftRound, "anneal", spy)

    def step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if len(optimizer.param_groups[0]["params"]) > 1:  # no trial
            found.lr.append(optimizer.param_groups[0]["lr"])

    hook = register_optimizer_step_pre_hook(step)
    yield found
    hook.remove()


def of_one_run(run: Run, seen: Seen, *words: str, **rest: Any) -> tuple[TrainResult, Seen]:
    seen.lr.clear()
    seen.annealed.clear()
    result = run(*OPTIONS, *words, **rest)
    return result, Seen(list(seen.lr), list(seen.annealed))


def test_schedules_follow_the_time_where_it_runs_out_first(run: Run, seen: Seen) -> None:
    short, by_steps = of_one_run(run, seen, "trainer.max_steps=8", name="steps")
    timed, by_time = of_one_run(
        run, seen, "trainer.max_steps=1000", "trainer.max_time={minutes:8}", name="time"
    )
    assert (short.steps, short.time_limit) == (8, None)
    assert (timed.steps, timed.time_limit) == (8, 480)
    assert by_time.lr == pytest.approx(by_steps.lr)
    assert by_time.annealed == pytest.approx(by_steps.annealed)
    assert by_time.lr[-1] < 0.2 * max(by_time.lr)  # decayed
    assert by_time.annealed[-1] > 0.95
    # And the steps decide where they run out first.
    _, unlimited = of_one_run(
        run, seen, "trainer.max_steps=8", "trainer.max_time={minutes:1000}", name="both"
    )
    assert unlimited == by_steps


def test_validations_use_up_the_time_as_well(run: Run, seen: Seen) -> None:
    # Two photos of 15 s: a minute and a half a step.
    result, found = of_one_run(
        run,
        seen,
        "trainer.max_steps=1000",
        "trainer.max_time={minutes:6}",
        "trainer.val_check_interval=1",
    )
    assert result.steps == 4
    assert found.annealed == pytest.approx([0, 1.5 / 5.4, 3 / 5.4, 4.5 / 5.4])


@pytest.mark.parametrize("minutes", [2.6, 2.4], ids=["by a step", "by a validation"])
def test_the_last_validation_of_a_run_that_time_ends_has_pictures(run: Run, minutes: float) -> None:
    # Half a minute of two photos follows each step of a minute.
    result = run(
        *OPTIONS, "callbacks.reconstructions.every=9", "trainer.val_check_interval=1",
        "trainer.max_steps=1000", f"trainer.max_time={{minutes:{minutes}}}",
    )  # fmt: skip
    shown = {path.name.partition("-")[0] for path in (result.run_dir / "images").iterdir()}
    assert shown == {"step000001", f"step{result.steps:06d}"}
    assert result.steps == 2


def test_a_run_in_three_calls_follows_the_schedules_of_an_undisturbed_one(
    run: Run, seen: Seen, clock: list[float]
) -> None:
    words = [
        "trainer.max_steps=1000",
        "trainer.max_time={minutes:9}",
        "trainer.val_check_interval=2",
    ]
    whole, expected = of_one_run(run, seen, *words, name="whole")
    found, resume = Seen([], []), []
    for call in (2, 4):
        with pytest.raises(Interrupted) as info:
            stopped_in(call, run, seen, *words, *resume, name=f"call{call}")
        found.lr.extend(seen.lr)
        found.annealed.extend(seen.annealed)
        clock[0] += 12345  # nobody trained
        resume = [f"resume={info.value.checkpoint}"]
    rest, last = of_one_run(run, seen, *words, *resume, name="rest")
    assert found.lr + last.lr == expected.lr
    assert found.annealed + last.annealed == expected.annealed
    assert last.lr[-1] < 0.2 * max(expected.lr)  # decayed
    assert (rest.steps, rest.time_limit) == (whole.steps, whole.time_limit)
    one, two = (torch.load(r.last, weights_only=True) for r in (rest, whole))
    assert one["tngexp"]["seconds"] == two["tngexp"]["seconds"]
    assert all(torch.equal(w, two["state_dict"][key]) for key, w in one["state_dict"].items())


def stopped_in(step: int, run: Run, seen: Seen, *words: str, name: str) -> None:
    """Train, and be asked to stop in the middle of step number ``step``, from 0."""
    stop, start = StopRequest(), LitCodec.on_train_batch_start

    def stopping(self: LitCodec, batch: Any, batch_idx: int) -> None:
        if self.global_step == step:
            stop.set(15)
        start(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LitCodec, "on_train_batch_start", stopping)
        of_one_run(run, seen, *words, name=name, stop=stop)


def test_a_run_that_has_used_its_time_says_how_to_train_on(run: Run) -> None:
    part = run(*OPTIONS, "trainer.max_steps=6", "trainer.max_time={minutes:3}", name="part")
    last = torch.load(part.last, weights_only=True)
    assert last["global_step"] == 3  # validated and saved, whatever val_every is
    assert part.picture is not None
    console = Console(width=80, record=True, file=io.StringIO())
    print_summary(part, "name", console)
    text = console.export_text()
    assert "trainer.max_time={minutes:3} at step 3 of 6" in text.replace("\n", " ")
    assert f"resume={part.last} trainer.max_time={{minutes:6}}" in text
    print_summary(part, "name", console, of_sweep=True)  # which resume=… does not continue
    assert "train on with" not in console.export_text()

    words = ["trainer.max_steps=6", f"resume={part.last}"]
    with pytest.raises(
        CheckpointError, match=r"has used 3\.5 minutes .* trainer.max_time={minutes:6}"
    ):
        run(*OPTIONS, *words, "trainer.max_time={minutes:3}", name="rest")
    rest = run(*OPTIONS, *words, "trainer.max_time={minutes:5}", name="rest")
    assert (rest.steps, rest.time_limit) == (5, 300)


def test_a_checkpoint_of_an_earlier_version_has_used_no_time(run: Run) -> None:
    first = run(*OPTIONS, "trainer.max_steps=2", name="first")
    content = torch.load(first.last, weights_only=True)
    del content["tngexp"]["seconds"]
    content["callbacks"].pop("Budget")
    # Such a one has the state of torch's scheduler.
    content["lr_schedulers"] = [{"base_lrs": [1.0], "last_epoch": 2, "lr_lambdas": [None]}]
    torch.save(content, first.last)
    words = ["trainer.max_steps=9", "trainer.max_time={minutes:3}", f"resume={first.last}"]
    assert run(*OPTIONS, *words, name="rest").steps == 5


def test_reaching_max_steps_is_not_reaching_the_time_limit(run: Run) -> None:
    result = run("trainer.max_steps=2", "trainer.max_time={minutes:2}")
    assert (result.steps, result.time_limit) == (2, None)


def test_accumulated_steps_are_finished(run: Run, seen: Seen) -> None:
    result, found = of_one_run(
        run,
        seen,
        "trainer.max_steps=4",
        "trainer.accumulate_grad_batches=2",
        "trainer.max_time={minutes:3}",
    )
    assert result.steps == 2
    # One value within a step, whatever the clock says in the middle of it.
    assert found.annealed == pytest.approx([0, 0, 2 / 2.7, 2 / 2.7])


def test_processes_go_by_one_clock(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    callback = Budget(600.0)
    trainer: Any = SimpleNamespace(
        global_step=1, max_steps=10, accumulate_grad_batches=1, should_stop=False,
        callbacks=[callback],
    )  # fmt: skip
    other = [0.9]  # share of another process's time
    scale = {time_share: 1e9, Budget: 600 * 1e6}
    asked: list[Any] = [time_share]
    monkeypatch.setattr(
        budget, "agreed", lambda _, number: max(number, round(scale[asked[0]] * other[0]))
    )
    lit: Any = None
    callback.on_train_start(trainer, lit)
    clock[0] += 60
    assert time_share(trainer) == pytest.approx(0.9)
    asked[0] = Budget
    callback.on_train_batch_end(trainer, lit, None, None, 0)
    assert not trainer.should_stop
    other[0] = 1.0
    callback.on_train_batch_end(trainer, lit, None, None, 0)
    assert trainer.should_stop


def test_command_line_ends_with_zero(
    tiny: list[str], tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(
        [*tiny, "trainer.max_steps=5", "trainer.max_time={minutes:1}", f"hydra.run.dir={tmp_path}"]
    )
    assert code == 0
    assert "step 1 of 5" in capfd.readouterr().out


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "true", "nan"])
def test_impossible_limits_are_refused(
    tiny: list[str], tmp_path: Any, capfd: pytest.CaptureFixture[str], minutes: str
) -> None:
    code = main([*tiny, f"trainer.max_time={{minutes:{minutes}}}", f"hydra.run.dir={tmp_path}"])
    assert code == 2
    assert "trainer.max_time" in capfd.readouterr().err
