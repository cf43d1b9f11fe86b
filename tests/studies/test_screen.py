"""A screening reads a finished sweep, pairs its runs, and says what cannot be compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

from tngexp.cli import screen as entry
from tngexp.studies.marker import MARKER

MakeRun = Callable[..., Path]
Screen = Callable[..., tuple[int, str, str]]


@pytest.fixture
def screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Screen:
    """The command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["screen.py"])

    def screen(*words: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        code = entry.main(["logger=none", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return screen


def pairs(make_run: MakeRun, *losses: tuple[float, float]) -> None:
    """Runs of quantizer=mixed and quantizer=ste, for each seed a loss of both."""
    for seed, (mixed, ste) in enumerate(losses):
        make_run("quantizer=mixed", job=2 * seed, seed=seed, loss=mixed)
        make_run("quantizer=ste", job=2 * seed + 1, seed=seed, loss=ste)


def refused(screen: Screen, *words: str) -> str:
    code, out, err = screen("runs=sweep", *words)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err


def test_verdict_table_plot_and_numbers(make_run: MakeRun, screen: Screen, tmp_path: Path) -> None:
    pairs(make_run, (2.0, 1.8), (4.0, 3.4), (3.0, 2.7))
    code, out, err = screen("runs=sweep")
    assert (code, err) == (0, "")
    assert "RD loss after 4 steps, 3 runs each" in out
    assert "-11.67% ± 7.17%: better" in out  # Student's t of −10, −15, −10 %, two degrees
    assert "1.50 M" in out
    folder = tmp_path / "sweep" / "screen"
    assert (folder / "screen.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((folder / "screen.json").read_text())
    assert content["base"]["name"] == "quantizer=mixed"
    (ste,) = content["variants"].values()
    assert ste["losses"] == {"0": 1.8, "1": 3.4, "2": 2.7}
    assert ste["curves"] == {"0": [3.0, 1.8], "1": [3.0, 3.4], "2": [3.0, 2.7]}
    assert (ste["steps"], ste["seconds"], ste["pairs"]) == ([2, 4], 180.0, 3)

    code, out, _ = screen("runs=sweep", "base=quantizer=ste", "confidence=0.5", "out=elsewhere")
    assert code == 0
    assert "+13.29%" in out
    assert "50% interval" in out
    assert (tmp_path / "elsewhere" / "screen.json").is_file()


def test_a_plain_run_beside_its_variants_is_the_base(
    make_run: MakeRun, screen: Screen, tmp_path: Path
) -> None:
    for seed in range(2):
        make_run("+callbacks.x={a:1}", "prior=gmm", job=seed, seed=seed)
        make_run(job=seed, seed=seed)
        make_run(
            "prior=gmm",
            "logger=csv",
            "trainer.enable_progress_bar=true",
            job=seed,
            seed=seed,
            loss=1.0,
        )
    assert screen("runs=sweep")[0] == 0
    content = json.loads((tmp_path / "sweep" / "screen" / "screen.json").read_text())
    assert content["base"]["name"] == "no override"
    assert set(content["variants"]) == {"prior=gmm", "+callbacks.x={a:1} prior=gmm"}
    assert content["variants"]["prior=gmm"]["change"] == -0.5


def test_another_option_may_pair(make_run: MakeRun, screen: Screen, tmp_path: Path) -> None:
    for seed in range(2):
        for job, lmbda in enumerate([1.0, 2.0]):
            name = f"{seed}_{lmbda}"
            make_run("a=1", job=job + 2 * seed, seed=seed, lmbda=lmbda, name=name, loss=2.0 - seed)
    # Losses at several λ do not compare, not even in pairs.
    assert "measure differently (loss.lmbda: " in refused(screen, "pair=loss.lmbda")
    assert "pair=model.x is no option" in refused(screen, "pair=model.x")
    code, _, _ = screen("runs=[sweep/0_1.0,sweep/1_1.0]", "pair=loss.lmbda")
    assert code == 0
    (path,) = tmp_path.rglob("screen.json")
    content = json.loads(path.read_text())
    assert content["base"]["losses"] == {"1.0": 2.0}
    assert content["variants"]["seed=1"]["word"] == "one pair"


def test_what_has_no_counterpart_is_left_out_with_a_word(
    make_run: MakeRun, screen: Screen, tmp_path: Path
) -> None:
    pairs(make_run, (2.0, 1.8), (4.0, 3.4))
    make_run("quantizer=mixed", job=4, seed=2, loss=9.0)
    make_run("quantizer=ste", job=5, seed=2, complete=False)
    make_run("quantizer=ste", job=7, seed=3)
    (tmp_path / "sweep" / "begun" / ".hydra").mkdir(parents=True)
    code, out, err = screen("runs=sweep")
    assert code == 0
    assert "-12.50%" in out
    assert (
        "warning: left out, because not finished: sweep/begun, sweep/seed=2,quantizer=ste; "
        "repeat the command that trains them" in err
    )
    assert "quantizer=ste is compared without seed=2, of which there is no finished run of " in err
    assert "without seed=3, of which there is no finished run of quantizer=mixed" in err
    content = json.loads((tmp_path / "sweep" / "screen" / "screen.json").read_text())
    assert len(content["left_out"]) == 3


def test_without_a_pair_there_is_nothing_to_say(make_run: MakeRun, screen: Screen) -> None:
    make_run("quantizer=mixed", job=0, seed=0)
    make_run("quantizer=ste", job=1, seed=0, complete=False)
    error = refused(screen)
    assert "the finished runs are all of one variant" in error
    assert "\nleft out, because not finished: sweep/seed=0,quantizer=ste; repeat the" in error
    make_run("quantizer=ste", job=3, seed=1)
    assert "no variant has a run with the same seed as one of the base" in refused(screen)


@pytest.mark.parametrize(
    ("special", "message"),
    [
        ({"steps": (4, 8)}, "different numbers of steps: 4 (sweep/seed=0,quantizer=mixed), 8 (swe"),
        ({"photos": "q"}, "have trained on other photos than each other"),
        ({"val_photos": "w"}, "measure differently (validation photos: v there, w now)"),
        ({"features": "f"}, "differently (codec of loss.features: None there, f now)"),
        ({"lmbda": 0.02}, "measure differently (loss.lmbda: 0.01 there, 0.02 now)"),
        ({"loss": None}, "has no validation loss at its end"),
        ({"job": None}, "has been trained by an earlier version"),
    ],
)
def test_runs_that_do_not_compare_are_refused(
    special: dict[str, Any], message: str, make_run: MakeRun, screen: Screen
) -> None:
    make_run("quantizer=mixed", job=0)
    make_run("quantizer=ste", **{"job": 1, **special})
    assert message in refused(screen)


def test_photos_to_train_on_may_be_what_is_screened(make_run: MakeRun, screen: Screen) -> None:
    make_run("data.root=A", job=0, photos="a", name="a")
    make_run("data.root=B", job=1, photos="b", name="b")
    assert screen("runs=sweep")[0] == 0


def test_a_run_without_its_last_validation_is_refused(make_run: MakeRun, screen: Screen) -> None:
    make_run("quantizer=mixed", job=0)
    folder = make_run("quantizer=ste", job=1)
    content = json.loads((folder / MARKER).read_text())
    (folder / MARKER).write_text(json.dumps({**content, "steps": 5}))
    assert "stopped between its last step and the validation after it" in refused(screen)


def test_the_base_is_asked_for_where_it_cannot_be_told(make_run: MakeRun, screen: Screen) -> None:
    make_run("quantizer=mixed", job=0)
    make_run("quantizer=ste", job=0)
    asked = refused(screen)
    assert 'base="…": quantizer=mixed; quantizer=ste' in asked
    assert "base=quantizer=st names no variant" in refused(screen, "base=quantizer=st")
    assert screen("runs=sweep", "base=quantizer=ste")[0] == 0


def test_two_runs_of_one_kind_are_refused(make_run: MakeRun, screen: Screen) -> None:
    make_run("quantizer=mixed", job=0)
    make_run("quantizer=mixed", job=0, name="again")
    make_run("quantizer=ste", job=1)
    assert "are both runs of quantizer=mixed with seed=0" in refused(screen)
    code, _, _ = screen("runs=[sweep/again,'sweep/seed=0,quantizer=ste']")
    assert code == 0


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["other.txt"], "there is no run of a sweep in sweep; train some first: python -m"),
        (["base/seed0/trace.json"], "holds a screening of an earlier version"),
        (["a/checkpoints/last.ckpt"], "no run in sweep can be compared: sweep/a not finished;"),
    ],
)
def test_a_folder_without_runs_says_what_to_do(
    files: list[str], message: str, screen: Screen, tmp_path: Path
) -> None:
    for name in files:
        path = tmp_path / "sweep" / name
        path.parent.mkdir(parents=True)
        path.touch()
    assert message in refused(screen)


def test_bad_options_are_one_message(make_run: MakeRun, screen: Screen) -> None:
    make_run("quantizer=mixed", job=0)
    assert "the finished runs are all of one variant" in refused(screen)
    assert "confidence=2 must be a number between 0 and 1" in refused(screen, "confidence=2")
    assert "runs=nowhere is no folder" in refused(screen, "runs=nowhere")
    assert "runs is not set" in screen()[2]
