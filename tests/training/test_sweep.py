"""A sweep is one piece of work: named lists of λ, jobs that fail, and one report at the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from tngexp.cli.train import as_hydra_reads
from tngexp.common.configuration import CONF_DIR, swept
from tngexp.runs import checkpoint_io
from tngexp.runs.lock import RunLock
from tngexp.schema.store import register_config
from tngexp.studies.marker import MARKER

Command = Callable[..., tuple[int, str, str]]
LAMBDA_MSE = [0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483]
LAMBDA_MSSSIM = [2.40, 4.58, 8.73, 16.64, 31.73, 60.50]
REPORT = ["report=default", "report.anchors=[jpeg]", "report.anchor_settings={jpeg:[5,50]}"]


@pytest.mark.parametrize(
    ("name", "loss", "values"),
    [
        ("lambda_mse", "MSELoss", LAMBDA_MSE),
        ("lambda_msssim", "MSSSIMLoss", LAMBDA_MSSSIM),
        ("lambda_mixed", "MixedLoss", LAMBDA_MSSSIM),
        ("ladder_mse", "MSELoss", LAMBDA_MSE[::-1]),
        ("ladder_msssim", "MSSSIMLoss", LAMBDA_MSSSIM[::-1]),
    ],
)
def test_named_sweeps_are_the_published_ladders(name: str, loss: str, values: list[float]) -> None:
    register_config()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", [f"sweep={name}"], return_hydra_config=True)
    swept_values = config.hydra.sweeper.params["loss.lmbda"]
    assert [float(word) for word in swept_values.split(",")] == values
    assert config.loss._target_.endswith(loss)
    assert config.hydra.mode.name == "MULTIRUN"
    short = loss.removesuffix("Loss").lower()
    assert config.hydra.sweep.dir == f"multirun/{name}-gmm-{short}"
    if name.startswith("ladder"):
        assert 1 + 5 * config.ladder.fraction <= 2.2


def test_a_sweep_is_chosen_as_any_group_is(sweep: Command) -> None:
    assert as_hydra_reads(["sweep=a", "model=b", "-m"]) == ["-m", "sweep=a", "model=b"]
    # As it was typed while the group had no default.
    assert as_hydra_reads(["-m", "+sweep=a", "+search=b"]) == ["-m", "sweep=a", "search=b"]
    assert as_hydra_reads(["+callbacks.sweep=1"]) == ["+callbacks.sweep=1"]
    code, _, err = sweep("sweep=lambda_mes")
    assert code == 2
    listed = "ladder_mse, ladder_msssim, lambda_mixed, lambda_mse, lambda_msssim"
    assert err == (
        f"error: unknown option sweep=lambda_mes. Did you mean 'lambda_mse'? "
        f"Options of sweep: {listed}.\n"
    )


def test_a_named_sweep_names_its_runs_by_what_differs() -> None:
    job = ["+sweep=lambda_mse", "model=gmm", "loss.lmbda=0.025"]
    assert swept(job, ["model=gmm"], ["loss.lmbda"]) == "loss.lmbda=0.025"


def test_a_failed_job_leaves_the_others_and_the_report(
    sweep: Command, compared: list[Any], tmp_path: Path
) -> None:
    words = ["-m", "loss.lmbda=-1,0.01", "hydra.sweep.dir=here", "trainer.max_steps=1"]
    code, _, err = sweep(*words, *REPORT)
    assert code == 2
    assert "error: 1 job of the sweep failed:\n  0_loss.lmbda=-1: loss.lmbda must" in err
    assert "warning: no report on the sweep: not measured" in err
    folder = tmp_path / "here"
    best = folder / "1_loss.lmbda=0.01" / "checkpoints" / "best.ckpt"
    assert compared == [({"hyperprior-mse": [str(best)]}, str(folder / "report"))]


def test_one_folder_for_all_runs_is_refused_before_any_is_trained(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    code, _, err = sweep("-m", "loss.lmbda=0.01,0.02", "run_dir=mine")
    assert code == 2
    assert "name the sweep's folder with hydra.sweep.dir=mine" in err
    assert trained == []
    assert not (tmp_path / "mine").exists()


def test_a_run_that_another_process_trains_is_left_to_it(
    sweep: Command, tmp_path: Path, trained: list[dict[str, Any]]
) -> None:
    words = ["+sweep=lambda_mse", "loss.lmbda=0.01,0.02", "report=none", "hydra.sweep.dir=twice"]
    with RunLock() as other:
        other.claim(tmp_path / "twice" / "loss.lmbda=0.01")
        code, out, err = sweep(*words)
    assert code == 2
    assert "another process is training in" in err
    assert "loss.lmbda=0.01" in err
    assert "hydra.sweep.dir=DIR" in err
    assert list((tmp_path / "twice").glob(f"*/{MARKER}")) == [
        tmp_path / "twice" / "loss.lmbda=0.02" / MARKER
    ]

    code, out, err = sweep(*words)
    assert code == 0, err
    assert out.count("finished before, skipped") == 1


def test_a_full_disk_fails_one_job_which_goes_on_later(
    sweep: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["+sweep=lambda_mse", "loss.lmbda=0.01,0.02", "report=none", "hydra.sweep.dir=full"]
    words += ["trainer.max_steps=4", "trainer.val_check_interval=2"]
    save, saves = torch.save, []

    def full_once(content: Any, file: Any, *rest: Any, **options: Any) -> None:
        saves.append(content["global_step"])
        if saves.count(4) == 1 and saves[-1] == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(content, file, *rest, **options)

    monkeypatch.setattr(checkpoint_io.torch, "save", full_once)
    code, out, err = sweep(*words)
    assert code == 2
    assert "disk is full" in err
    assert "1 job of the sweep failed" in err
    first, second = (tmp_path / "full" / f"loss.lmbda={value}" for value in (0.01, 0.02))
    assert not (first / MARKER).exists()
    assert torch.load(first / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
    assert (second / MARKER).exists()

    code, out, err = sweep(*words)
    assert code == 0, err
    assert "goes on from its last checkpoint" in out
    assert (first / MARKER).exists()
