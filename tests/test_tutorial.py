"""The tutorial works: its files, saved where it says, and its commands, on tiny trainings."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from test_contributing import FILE, ROOT, TINY, in_copy

PAGE = (ROOT / "docs" / "tutorials" / "own_quantizer.md").read_text(encoding="utf-8")
BASH = re.compile(r"```bash\n(.*?)```", re.DOTALL)
# The same for every command: tiny pictures and codecs, and seconds instead of minutes.
_TRAIN = [
    *(word for word in TINY.split() if not word.startswith("loss=")),
    *("report=none", "rate=fixed", "hydra/job_logging=none", "hydra/hydra_logging=none"),
]
_DATA = [word for word in _TRAIN if word.startswith("data.")]


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    for folder in ("tngexp", "conf"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    files = dict(FILE.findall(PAGE.replace("And this as", "Save this as")))
    names = ["conf/quantizer/narrowing.yaml", "tngexp/quantizers/narrowing.py"]
    assert sorted(files) == names
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    commands = [line for block in BASH.findall(PAGE) for line in block.splitlines()]
    python = [shlex.split(line)[1:] for line in commands if line.startswith("python -m ")]
    assert [words[1].rpartition(".")[2] for words in python] == [
        *("train", "train", "compare", "train", "screen")
    ]
    for words in python:
        program, tiny = words[1], []
        if program == "tngexp.train":
            given = {word.partition("=")[0] for word in words} - {"trainer.max_steps"}
            words = [word for word in words if not word.startswith("trainer.max_steps")]
            tiny = [word for word in _TRAIN if word.partition("=")[0] not in given]
        elif program == "tngexp.compare":
            tiny = [*_DATA, "logger=none", "workers=1", "metrics=[]"]
        elif program == "tngexp.screen":
            tiny = ["logger=none"]
        done = in_copy(tmp_path, *words, *tiny)
        assert done.returncode == 0, (words, done.stdout + done.stderr)
        if program == "tngexp.compare":
            assert "narrowing" in done.stdout
            assert "of the 4 needed" not in done.stdout + done.stderr

    curves = [json.loads(path.read_text()) for path in tmp_path.glob("comparison/curves/*.json")]
    assert len(curves) == 3
    assert all(len(curve["results"]["bpp"]) >= 4 for curve in curves)
    assert (tmp_path / "comparison" / "report.html").is_file()
    screen = json.loads((tmp_path / "multirun" / "screen" / "screen" / "screen.json").read_text())
    assert list(screen["variants"]) == ["quantizer=narrowing"]
