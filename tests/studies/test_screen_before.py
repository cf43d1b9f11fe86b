"""Calls of earlier versions' screening are answered with the commands of today."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from tngexp.cli import screen as entry
from tngexp.cli.screen_before import commands_of_today
from tngexp.cli.train import as_hydra_reads
from tngexp.common.configuration import CONF_DIR
from tngexp.schema.store import register_config

TRAIN = "python -m tngexp.train -m experiment=screen "


@pytest.mark.parametrize(
    ("call", "trainings", "analysis"),
    [
        (
            ["base=tng", "variants=[quantizer=ste,quantizer=noise]", "seeds=2"],
            ["model=tng quantizer=mixed,ste,noise seed=0,1 hydra.sweep.dir=screens"],
            "runs=screens",
        ),
        (
            ["base=gmm+encoder.N=96", "variants=[encoder.N=160]", "steps=80", "points=4"],
            [
                "model=gmm encoder.N=96,160 trainer.max_steps=80 trainer.val_check_interval=20 "
                "seed=0,1,2 hydra.sweep.dir=screens"
            ],
            "runs=screens",
        ),
        (
            [
                "variants=['optimizer.lr=1e-3','prior=gmm+prior.mixture=5']",
                "dataset=folder",
                "dataset_options=[data.root=PHOTOS,data.downscale=[1.0,1.0]]",
                "out=screens/lr",
                "logger=none",
                "confidence=0.9",
            ],
            [
                f"model=tng {more}data=folder data.root=PHOTOS 'data.downscale=[1.0,1.0]' "
                "seed=0,1,2 hydra.sweep.dir=screens/lr"
                for more in ("", "optimizer.lr=1e-3 ", "prior=gmm prior.mixture=5 ")
            ],
            "runs=screens/lr confidence=0.9 logger=none",
        ),
        (
            ["variants=optimizer.lr=1e-3", "common=[loss=mse]", "seeds=20"],
            [
                "model=tng rate=variable optimizer.lr=0.0005,1e-3 loss=mse 'seed=range(20)' "
                "hydra.sweep.dir=screens"
            ],
            "runs=screens",
        ),
    ],
)
def test_an_earlier_call_is_translated(
    call: list[str], trainings: list[str], analysis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(call) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith("error: a screening is a sweep and the analysis of it")
    expected = [TRAIN + words for words in trainings]
    assert [line.strip() for line in lines] == [
        *expected,
        f"python -m tngexp.screen {analysis}",
    ]
    register_config()
    for line in expected:
        words = as_hydra_reads(shlex.split(line)[3:])
        overrides = [word.partition(",")[0] for word in words if word != "-m" and "[" not in word]
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            compose("train", [word for word in overrides if "range" not in word])


def test_calls_of_today_are_left_alone(tmp_path: Path) -> None:
    assert commands_of_today(["runs=multirun/screen", "base=quantizer=mixed"]) is None
    assert commands_of_today(["--help"]) is None
    assert commands_of_today([]) is None
