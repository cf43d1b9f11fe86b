"""The import law: rooms do not import sideways, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tngexp"
FILES = sorted(PACKAGE.rglob("*.py"))

# Which of the project's rooms each room may import, beside itself.
ALLOWED = {
    "transforms": {"types"},
    "quantizers": {"types"},
    "priors": {"types"},
    "rate": {"types"},
    "coding": {"types"},
    "losses": {"types"},
    "metrics": {"types"},
    "datasets": {"types"},
    "anchors": {"types"},
    "report": {"types", "metrics"},
}
LIBRARIES = {
    "hydra": {
        "compare.py",
        "screen.py",
        "evaluate.py",
        "train.py",
        "sweep.py",
        "complexity.py",
        "_cli.py",
    },
    "wandb": {"training/loggers.py"},
    "compressai": set(),
    "lightning": {"training/", "datasets/", "train.py", "compare.py", "screening/"},
}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_what_they_may(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    room = relative.parts[0]
    if room not in ALLOWED:
        return
    foreign = {
        name.split(".")[1]
        for name in imports(path)
        if name.startswith("tngexp.") and name.split(".")[1] not in ALLOWED[room] | {room}
    }
    assert foreign == set()


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_are_imported_only_where_they_belong(library: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(name.split(".")[0] == library for name in imports(path))
    }
    strangers = {u for u in users if not any(u.startswith(a) for a in LIBRARIES[library])}
    assert strangers == set()


def test_the_codec_alone_needs_no_training_libraries() -> None:
    code = (
        "import sys, tngexp.codec, tngexp.io; "
        "print([m for m in ('hydra', 'lightning', 'wandb', 'compressai', 'piq', 'numba') "
        "if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
