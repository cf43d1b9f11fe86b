"""A screening is a sweep like any other, and its analysis."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from tngexp.cli import screen
from tngexp.common.configuration import full_name
from tngexp.studies.marker import MARKER, Marker

Command = Callable[..., tuple[int, str]]


def analysed(*words: str) -> int:
    sys.argv[1:] = []
    GlobalHydra.instance().clear()
    return screen.main(["logger=none", "runs=multirun/screen", *words])


def test_two_commands_screen_an_idea(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # -m and the folder are the experiment's.
    words = ["experiment=screen", "trainer.max_steps=4", "trainer.val_check_interval=2"]
    code, err = command(*words, "seed=0,1", "quantizer=mixed,ste")
    assert code == 0, err
    folder = tmp_path / "multirun" / "screen"
    markers = {path: path.stat().st_mtime_ns for path in folder.rglob(MARKER)}
    assert len(markers) == 4
    # Further seeds and an option that the first command did not have.
    code, err = command(*words, "seed=0,1", "quantizer=mixed,ste,noise")
    assert code == 0, err
    extra = "+callbacks.bits={_target_:tngexp.training.callbacks.histogram.ChannelBits}"
    code, err = command(*words, "seed=0,1", extra)
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in markers} == markers
    assert len(list(folder.rglob(MARKER))) == 8

    assert analysed("base=quantizer=mixed") == 0
    assert "quantizer=noise" in capfd.readouterr().out
    content = json.loads((folder / "screen" / "screen.json").read_text())
    assert set(content["variants"]) == {"quantizer=ste", extra, "quantizer=noise"}
    first = content["base"]["runs"]["0"]
    marker = Marker.read(tmp_path / first)
    assert marker is not None
    assert marker.job == 0
    for name, variant in {"base": content["base"], **content["variants"]}.items():
        assert variant["steps"] == [2, 4], name
        assert variant["seconds"] > 0
    losses, base = content["variants"]["quantizer=ste"]["losses"], content["base"]["losses"]
    change = sum(losses[seed] / base[seed] - 1 for seed in "01") / 2
    assert content["variants"]["quantizer=ste"]["change"] == pytest.approx(change)
    # The option that changes nothing about training changes nothing.
    assert content["variants"][extra]["change"] == 0


def test_a_screening_trains_what_screenings_trained(configure: Callable[..., DictConfig]) -> None:
    config = configure("experiment=screen", "model=tng", "trainer=default")
    assert config.trainer.max_steps == 2  # the command line's
    assert config.rate._target_.endswith("FixedRate")
    assert config.callbacks.ema.decay == 0.995
    assert set(config.callbacks) == {"ema"}


@pytest.mark.parametrize(("steps", "every"), [(400, 50), (1000, 125), (5, 1)])
def test_a_screening_validates_eight_times(steps: int, every: int) -> None:
    from hydra import compose, initialize_config_dir

    from tngexp.common.configuration import CONF_DIR
    from tngexp.schema.store import register_config

    register_config()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", ["experiment=screen", f"trainer.max_steps={steps}"])
    assert config.trainer.val_check_interval == every


def test_runs_of_several_commands_have_names_of_their_own() -> None:
    line = ["-m", "experiment=screen", "seed=0,1", "data.root=PHOTOS", "trainer.max_steps=8"]
    job = ["experiment=screen", "seed=0", "data.root=PHOTOS", "trainer.max_steps=8"]
    assert full_name(job, line) == "seed=0"
    assert full_name([*job, "prior=gmm"], line) == "seed=0,prior=gmm"
    swept = [*line[:3], "data.root=A,B"]
    assert full_name([*job[:2], "data.root=A"], swept) == "seed=0,data.root=A"
    names = [full_name([word], []) for word in ("a=[1,2]", "a=(1,2)", "a=_1,2_", "a=" + "x" * 99)]
    assert len({*names, full_name(["a=" + "x" * 98], [])}) == 5
    assert max(map(len, names)) <= 100
