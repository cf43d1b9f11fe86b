"""The import law: imports point downwards only, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tngexp"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}

# What each package and top-level module of tngexp/ may import of tngexp/, beside itself. It may
# only name what stands in a layer above its own, so that no import goes in a circle.
LAYERS: list[dict[str, set[str]]] = [
    {
        "errors": set(),
        "terminal": set(),
        "_conf": set(),
        "legacy": set(),
        "hardware": set(),
        "_words": set(),
        "options": set(),
    },
    {
        "types": {"errors"},
        "_folders": {"terminal"},
        "_help": {"_conf"},
    },
    {  # what an image's pixels mean, for whatever has to do with images
        "pixels": {"errors"},
    },
    {  # components: never each other
        "transforms": {"types"},
        "quantizers": {"types"},
        "priors": {"types"},
        "rate": {"types"},
        "coding": {"errors"},
        "losses": {"types"},
        "metrics": {"types"},
        "datasets": {"_folders", "pixels", "terminal", "types"},
        "anchors": {"types"},
        "build": {"options", "types"},
        "zoo": {"errors"},
    },
    {  # components wired together
        "codec": {"types", "build", "legacy", "priors", "quantizers", "rate"},
        "objective": {"losses"},
        "report": {"types", "metrics", "terminal"},
    },
    {
        "effort": {"types", "codec", "losses", "priors", "quantizers"},
    },
    {
        "bitstream": {
            *("types", "codec", "coding", "effort", "hardware", "priors", "quantizers", "rate"),
            *("pixels", "transforms"),
        },
    },
    {  # a codec and its files
        "io": {"types", "bitstream", "codec", "objective", "zoo"},
        "targets": {"types", "bitstream", "coding", "metrics", "pixels"},
    },
    {  # libraries on top of it
        "__init__": {"codec", "io"},
        "interop": {"types", "bitstream", "codec", "io", "terminal"},
        "pillow": {"types", "bitstream", "codec", "coding", "io", "pixels", "zoo"},
        "screening": {"types", "_conf", "io"},
        "evaluation": {
            *("types", "_folders", "anchors", "bitstream", "build", "coding", "datasets", "effort"),
            *("io", "legacy", "metrics", "objective", "report"),
        },
        "training": {
            *("build", "codec", "datasets", "errors", "hardware", "io", "legacy"),
            *("losses", "metrics", "objective", "options", "priors", "rate", "report"),
            *("terminal", "types"),
        },
    },
    {  # what programs share
        "_cli": {"_conf", "_help", "_words", "errors", "terminal", "training"},
        "cli": {
            *(
                "errors",
                "terminal",
                "_conf",
                "_folders",
                "bitstream",
                "coding",
                "effort",
                "io",
                "pixels",
            ),
            *("targets", "zoo"),
        },
    },
    {  # programs
        "complexity": {
            *("types", "_cli", "_conf", "bitstream", "codec", "io", "priors", "training"),
        },
        "evaluate": {
            *("types", "_cli", "_conf", "evaluation", "metrics", "report", "terminal", "training"),
        },
        "compress": {"cli"},
        "decompress": {"cli"},
    },
    {
        "compare": {
            *("types", "_cli", "_conf", "complexity", "datasets", "evaluation", "metrics"),
            *("report", "terminal", "training"),
        },
    },
    {
        "sweep": {"errors", "compare", "report", "terminal", "training"},
    },
    {
        "train": {"errors", "_cli", "_conf", "compare", "sweep", "training"},
    },
    {
        "screen": {
            *("_cli", "_conf", "_words", "build", "report", "screening", "terminal"),
            *("train", "training", "types"),
        },
    },
]
MAY_IMPORT = {name: allowed for layer in LAYERS for name, allowed in layer.items()}

# Imports that break the law and are yet to be removed: (importing file, what it imports).
KNOWN_BREACHES: set[tuple[str, str]] = set()

LIBRARIES = {
    "hydra": {
        "compare.py",
        "screen.py",
        "evaluate.py",
        "train.py",
        "sweep.py",
        "complexity.py",
        "_cli.py",
        "_help.py",
    },
    "wandb": {"training/loggers.py"},
    "compressai": set(),
    "lightning": {"training/", "datasets/", "train.py", "compare.py", "screening/"},
}


def imports(code: str, package: str = "tngexp") -> set[str]:
    """Dotted names that ``code``, a module of ``package``, imports, wherever in it it does.

    What is taken from ``tngexp`` itself is named: ``from tngexp import zoo`` and
    ``import tngexp; tngexp.zoo`` are both ``tngexp.zoo``.
    """
    tree = ast.parse(code)
    names: set[str] = set()
    bound: set[str] = set()  # names that stand for the package tngexp in this module
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name != "tngexp")
            bound.update(
                alias.asname or "tngexp"
                for alias in node.names
                if alias.name == "tngexp"
                or (alias.name.startswith("tngexp.") and alias.asname is None)
            )
        elif isinstance(node, ast.ImportFrom):
            source = _source(node, package)
            if source == "tngexp":
                names.update(f"tngexp.{alias.name}" for alias in node.names)
            else:
                names.add(source)
        elif isinstance(node, ast.Call):
            names.update(_by_string(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names.update({f"tngexp.{node.attr}"} if node.value.id in bound else ())
    return names


def _source(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that ``node`` takes something from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _by_string(node: ast.Call) -> Iterator[str]:
    """``importlib.import_module("…")`` and ``__import__("…")``."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else None
    called = node.func.id if isinstance(node.func, ast.Name) else called
    if called in ("import_module", "__import__") and node.args:
        (argument, *_) = node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value


def rooms(code: str, package: str = "tngexp") -> set[str]:
    """Packages and modules of tngexp/ that ``code`` imports; ``__init__`` is ``tngexp`` itself."""
    found = set()
    for name in imports(code, package):
        first, _, rest = name.partition(".")
        if first == "tngexp" and rest != "__version__":  # which is a constant
            room = rest.partition(".")[0]
            found.add(room if room in ROOMS else "__init__")
    return found


def imported_by(path: Path) -> set[str]:
    package = ".".join(("tngexp", *path.relative_to(PACKAGE).parts[:-1]))
    return rooms(path.read_text(encoding="utf-8"), package)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from tngexp import zoo", {"zoo"}),
        ("from tngexp import zoo as models, types", {"zoo", "types"}),
        ("from tngexp import load", {"__init__"}),
        ("from tngexp import __version__", set()),
        ("import tngexp\nprint(tngexp.__version__)", set()),
        ("import tngexp\ntngexp.load('x')", {"__init__"}),
        ("import tngexp as t\nt.zoo.path('x')", {"zoo"}),
        ("import tngexp.zoo", {"zoo"}),
        ("import tngexp.zoo\ntngexp.io.load('x')", {"zoo", "io"}),
        ("import tngexp.priors.base as base", {"priors"}),
        ("from tngexp.priors.base import Prior", {"priors"}),
        ("from .base import Metric", {"metrics"}),
        ("from . import base", {"metrics"}),
        ("from .. import zoo", {"zoo"}),
        ("from ..priors.base import Prior", {"priors"}),
        ("def f():\n    from tngexp.codec import Codec", {"codec"}),
        ("if TYPE_CHECKING:\n    from tngexp.codec import Codec", {"codec"}),
        ("class A:\n    import tngexp.codec", {"codec"}),
        ("import importlib\nimportlib.import_module('tngexp.codec')", {"codec"}),
        ("__import__('tngexp.codec')", {"codec"}),
        ("import torch\nfrom torch import nn", set()),
    ],
)
def test_every_form_of_import_is_seen(code: str, found: set[str]) -> None:
    assert rooms(code, "tngexp.metrics") == found


def test_every_package_and_module_has_a_rule() -> None:
    assert MAY_IMPORT.keys() == ROOMS


def test_layers_import_downwards_only() -> None:
    above: set[str] = set()
    for layer in LAYERS:
        for name, allowed in layer.items():
            assert allowed <= above, f"{name} may not import {sorted(allowed - above)}"
        above |= layer.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_what_they_may(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    room = relative.parts[0].removesuffix(".py")
    foreign = imported_by(path) - {room} - MAY_IMPORT.get(room, set())
    assert foreign == {there for file, there in KNOWN_BREACHES if file == relative.as_posix()}


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_are_imported_only_where_they_belong(library: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(
            name.partition(".")[0] == library for name in imports(path.read_text(encoding="utf-8"))
        )
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
