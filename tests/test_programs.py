"""What all programs of the package have in common: help anywhere, and no empty names."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest
import wandb
from omegaconf import OmegaConf
from support import CONF, codec_config

from tngexp.cli.hydra_errors import explain
from tngexp.cli.hydra_help import asks_for_help, help_text
from tngexp.evaluation import compare
from tngexp.logs.loggers import finish, make_loggers, readable
from tngexp.metrics.curves import Curve, RDPoint
from tngexp.report.html import write_report
from tngexp.report.plots import save_plots
from tngexp.report.table import Cell, Column, Table
from tngexp.types import ConfigError

WANDB = "tngexp.logs.loggers.OfflineWandb"
HYDRA = ("train", "evaluate", "compare", "screen", "study", "complexity")
OTHERS = ("cli.main", "compress", "decompress", "interop", "datasets.pack")


def run(module: str, *words: str) -> int:
    program = import_module(f"tngexp.{module}")
    try:
        return int(program.main(list(words)))
    except SystemExit as stop:  # argparse
        return int(stop.code or 0)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("module", [*HYDRA, *OTHERS])
def test_help_on_any_terminal(module: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x"])
    buffer = io.BytesIO()
    with monkeypatch.context() as patch:
        stream = io.TextIOWrapper(buffer, encoding=encoding, errors="strict")
        patch.setattr(sys, "stdout", stream)
        assert run(module, "--help") == 0
        stream.detach()
    assert len(buffer.getvalue().decode(encoding)) > 200


@pytest.mark.parametrize("module", HYDRA)
def test_an_unset_variable_is_no_option(
    module: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["x"])
    assert run(module, "data.root=") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: data.root= is empty (a variable of the shell")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("words", [("interop", "", "x"), ("datasets.pack", "", "x")])
def test_an_empty_path_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    assert "an empty name (a variable of the shell" in capsys.readouterr().err


def test_help_lists_every_group_and_option() -> None:
    text = help_text("train", "About.", ["model=tng", "encoder.N=96", "--help", "-m"])
    assert text.startswith("About.\n")
    for folder in CONF.iterdir():
        if folder.is_dir() and folder.name != "hydra":
            names = sorted(path.stem for path in folder.glob("[!_]*.yaml"))
            assert f"\n{folder.name}: {', '.join(names)}\n" in text
    config = OmegaConf.create(text.partition("group.name=value) ==\n")[2])
    assert config.encoder.N == 96
    assert "hydra" not in config


def test_help_knows_folders_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "quantizer").mkdir()
    (tmp_path / "quantizer" / "mine.yaml").write_text("_target_: mine.Mine\n")
    words = ["quantizer=mine", f"--config-dir={tmp_path}"]
    text = help_text("train", "", words)
    assert "quantizer: dead_zone, mine, mixed" in text
    assert "_target_: mine.Mine" in text
    assert help_text("train", "", ["--config-dir", str(tmp_path), "quantizer=mine"]) == text


def test_flags_that_are_hydras_own_are_left_to_it() -> None:
    assert asks_for_help(["model=tng", "-h"])
    assert asks_for_help(["--help", "--config-dir", "x"])
    assert not asks_for_help(["model=tng"])
    assert not asks_for_help(["--help", "--config-name=evaluate"])
    assert not asks_for_help(["--hydra-help"])


ODD = "[b]caf\udce9\x85[/b]"  # neither text, nor one line, nor without formatting


def _curves() -> list[Curve]:
    points = [RDPoint(f"{n}", quoted_bpp=n / 4, quoted_psnr_db=30.0 + n) for n in (1, 2, 3)]
    return [Curve(key="a", label=ODD, kind="published", points=points, source=f"from {ODD}")]


def test_reports_hold_any_name(tmp_path: Path) -> None:
    table = Table(
        "t", ODD, (Column(ODD, numeric=False),), ((Cell(ODD, ODD, note=ODD),),), caption=ODD
    )
    curves = _curves()
    path = tmp_path / "report.html"
    write_report(
        path,
        title=ODD,
        subtitle=ODD,
        curves=curves,
        tables=[table],
        images=[],
        notes=[ODD],
        meta={"command": ODD},
    )
    text = path.read_text(encoding="utf-8")
    assert text.count("caf\\xe9") > 5  # in HTML
    data = text.partition('type="application/json"')[2].partition(">")[2].partition("</script")[0]
    assert "caf\\xe9" in json.dumps(json.loads(data), ensure_ascii=False).replace("\\\\", "\\")
    assert save_plots(curves, tmp_path, f"{ODD}, 3 images")
    compare._write_tables(tmp_path / "tables.txt", [table])
    assert b"[b]caf\xe9" in (tmp_path / "tables.txt").read_bytes()


def test_loggers_are_given_valid_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = codec_config() | {"root": ODD, "deep": [{ODD: (ODD, 1, None)}]}
    assert "\udce9" not in json.dumps(readable(config), ensure_ascii=False)
    assert readable({"a": [1.5, True, None]}) == {"a": [1.5, True, None]}
    monkeypatch.setattr(sys, "argv", ["x", f"data.root={ODD}"])
    start, words = wandb.init, []

    def init(**options: object) -> object:
        words.extend(sys.argv)
        return start(**options)

    monkeypatch.setattr("wandb.init", init)
    (logger,) = make_loggers({"_target_": WANDB, "mode": "disabled"}, tmp_path, ODD, ODD)
    assert logger is not None
    assert words == ["x", "data.root=" + ODD.replace("\udce9", "\\xe9")]
    finish(logger)
    assert sys.argv == ["x", f"data.root={ODD}"]
    with pytest.raises(ConfigError, match="not UTF-8"):
        make_loggers({"_target_": WANDB, "mode": "offline"}, tmp_path / "x\udcff", "a", None)
    assert not (tmp_path / "x\udcff").exists()


@pytest.mark.parametrize("inside", ["", "x"])
@pytest.mark.parametrize("module", ["compare", "evaluate", "study", "train"])
def test_a_file_is_no_folder_to_write_to(
    module: str,
    inside: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["x"])
    file = tmp_path / "file"
    file.write_text("kept")
    option = "hydra.run.dir" if module == "train" else "out"
    assert run(module, f"{option}={file / inside}") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file} is a file where a folder is needed")
    assert f"{option}=DIR" in error
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "cannot read or write a.json: "),
        (errno.EPERM, "cannot read or write a.json: "),
        (errno.EROFS, "cannot write a.json: "),
        (errno.EISDIR, "a.json is a folder where a file is needed"),
        (errno.ENOSPC, "the disk is full while writing a.json"),
    ],
)
def test_unusable_surroundings_are_said_with_the_option_that_counts(number: int, said: str) -> None:
    error = OSError(number, os.strerror(number), "a.json")
    for program, option in {"study": "out=DIR", "train": "hydra.run.dir=DIR"}.items():
        text = explain(error, program)
        assert text is not None
        assert text.startswith(said)
        assert text.endswith(f"write elsewhere: {option}")


def test_a_fault_of_the_program_is_not_explained_away(tmp_path: Path) -> None:
    assert explain(FileExistsError(errno.EEXIST, "File exists", str(tmp_path)), "study") is None
    assert explain(NotADirectoryError(errno.ENOTDIR, "Not a directory"), "study") is None
