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
PACKAGES = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}

# What each package and top-level module of tngexp/ may import of tngexp/, beside itself. It may
# only name what stands in a layer above its own, so that no import goes in a circle.
LAYERS: list[dict[str, set[str]]] = [
    {
        "errors": set(),
    },
    {  # what an image's pixels mean, the coder, and helpers that know nothing of codecs
        "coding": {"errors"},
        "common": {"errors"},
        "pixels": {"errors"},
        "types": {"errors"},
        "zoo": {"errors"},
    },
    {  # components, which never know each other, and what they are made of
        "anchors": {"types"},
        "datasets": {"common", "pixels", "types"},
        "layers": {"types"},
        "metrics": {"types"},
        "quantizers": {"types"},
        "rate": {"types"},
        "schema": {"common", "errors"},
    },
    {
        "critics": {"layers", "types"},
        "devices": {"common", "schema", "types"},
        "losses": {"common", "metrics", "types"},
        "post": {"layers", "types"},
        "priors": {"layers", "types"},
        "report": {"common", "metrics", "types"},
        "transforms": {"layers", "types"},
    },
    {  # components wired together, and where figures go
        "logs": {"common", "metrics", "report", "schema", "types"},
        "model": {
            *("common", "losses", "priors", "quantizers", "rate", "schema"),
            *("types", "zoo"),
        },
    },
    {  # a codec and its bytes
        "bitstream": {
            *("coding", "common", "devices", "layers", "losses", "metrics"),
            *("model", "pixels", "priors", "quantizers", "rate", "transforms"),
            *("types", "zoo"),
        },
        "hybrid": {
            *("anchors", "common", "devices", "errors", "metrics", "model", "pixels", "post"),
            *("types", "zoo"),
        },
    },
    {  # libraries on top of it
        "__init__": {"bitstream", "hybrid", "model"},
        "evaluation": {
            *("anchors", "bitstream", "coding", "common", "datasets", "hybrid", "logs"),
            *("metrics", "model", "priors", "report", "schema", "types", "zoo"),
        },
        "interop": {"bitstream", "common", "model", "types"},
        "io": {"bitstream", "model", "types"},
        "pillow": {"bitstream", "coding", "model", "pixels", "types", "zoo"},
        "runs": {"bitstream", "common", "errors", "model", "types"},
    },
    {
        "training": {
            *("anchors", "bitstream", "common", "critics", "datasets", "devices", "evaluation"),
            *("hybrid", "logs", "losses", "metrics", "model", "priors", "rate", "runs"),
            *("schema", "types", "zoo"),
        },
    },
    {  # votes of people on pairs of files
        "people": {
            *("anchors", "coding", "common", "datasets", "evaluation"),
            *("metrics", "report", "schema", "types"),
        },
    },
    {  # many trainings as one piece of work
        "studies": {
            *("common", "errors", "evaluation", "logs", "model", "report"),
            *("runs", "schema", "training", "types"),
        },
    },
    {  # programs: they call libraries, and nothing calls them
        "cli": {
            *("anchors", "bitstream", "coding", "common", "errors", "evaluation", "hybrid"),
            *("logs", "metrics", "model", "people", "pixels", "report", "runs", "schema"),
            *("studies", "training", "types", "zoo"),
        },
    },
    {  # the names that the README types
        "compare": {"cli", "evaluation"},
        "complexity": {"cli", "evaluation"},
        "compress": {"cli"},
        "decompress": {"cli"},
        "evaluate": {"cli", "evaluation"},
        "screen": {"cli", "studies"},
        "study": {"cli"},
        "train": {"cli"},
    },
]
MAY_IMPORT = {name: allowed for layer in LAYERS for name, allowed in layer.items()}

# Imports that break the law and are yet to be removed: (importing file, what it imports).
KNOWN_BREACHES: set[tuple[str, str]] = set()

LIBRARIES = {
    "hydra": {"cli/", "schema/", "studies/"},
    "wandb": {"logs/loggers.py"},
    "compressai": set(),
    "fsspec": {"datasets/shards/remote.py"},
    "lightning": {
        *("datasets/", "devices/", "evaluation/compare.py", "logs/", "runs/", "studies/"),
        "training/",
    },
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


def packages(code: str, package: str = "tngexp") -> set[str]:
    """Packages and modules of tngexp/ that ``code`` imports; ``__init__`` is ``tngexp`` itself."""
    found = set()
    for name in imports(code, package):
        first, _, rest = name.partition(".")
        if first == "tngexp" and rest != "__version__":  # which is a constant
            package = rest.partition(".")[0]
            found.add(package if package in PACKAGES else "__init__")
    return found


def imported_by(path: Path) -> set[str]:
    package = ".".join(("tngexp", *path.relative_to(PACKAGE).parts[:-1]))
    return packages(path.read_text(encoding="utf-8"), package)


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
        ("def f():\n    from tngexp.model.codec import Codec", {"model"}),
        ("if TYPE_CHECKING:\n    from tngexp.model.codec import Codec", {"model"}),
        ("class A:\n    import tngexp.model.codec", {"model"}),
        ("import importlib\nimportlib.import_module('tngexp.model.codec')", {"model"}),
        ("__import__('tngexp.model.codec')", {"model"}),
        ("import torch\nfrom torch import nn", set()),
    ],
)
def test_every_form_of_import_is_seen(code: str, found: set[str]) -> None:
    assert packages(code, "tngexp.metrics") == found


def test_every_package_and_module_has_a_rule() -> None:
    assert MAY_IMPORT.keys() == PACKAGES


def test_the_longest_chain_of_imports_has_ten_packages() -> None:
    longest: dict[str, int] = {}
    for layer in LAYERS:
        for name, allowed in layer.items():
            longest[name] = 1 + max((longest[other] for other in allowed), default=0)
    packages = {name for name in PACKAGES if (PACKAGE / name).is_dir()}
    assert max(longest[name] for name in packages) <= 10


def test_layers_import_downwards_only() -> None:
    above: set[str] = set()
    for layer in LAYERS:
        for name, allowed in layer.items():
            assert allowed <= above, f"{name} may not import {sorted(allowed - above)}"
        above |= layer.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_packages_import_only_what_they_may(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    package = relative.parts[0].removesuffix(".py")
    foreign = imported_by(path) - {package} - MAY_IMPORT.get(package, set())
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
        "import sys, tngexp.model.codec, tngexp.io; "
        "print([m for m in ('hydra', 'lightning', 'wandb', 'compressai', 'piq', 'numba') "
        "if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
