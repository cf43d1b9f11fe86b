"""``tng info``: what a ``.tng`` file says about itself, without a model."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tngexp import zoo
from tngexp.cli.arguments import check_given
from tngexp.cli.batch import explain
from tngexp.cli.files import STANDARD, read_bytes
from tngexp.coding.container import Container, index_to_quality, read
from tngexp.common.folders import search
from tngexp.errors import ConfigError

__all__ = ["DESCRIPTION", "add_arguments", "describe", "run"]

DESCRIPTION = "Show what .tng files hold; needs no model."

_LISTED_STREAMS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE",
        help="files, folders (searched recursively), or - for standard input",
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    sources, left_out = _sources(arguments.inputs)
    for path, why in left_out:
        print(f"error: {path}: {why}", file=sys.stderr)
    failed = len(left_out)
    for source in sources:
        name = "standard input" if source is None else str(source)
        try:
            data = read_bytes(source, alone=len(sources) == 1)
            lines = describe(read(data), len(data))
        except Exception as error:
            if os.environ.get("TNGEXP_DEBUG") == "1":
                raise
            failed += 1
            print(f"error: {name}: {explain(error)}", file=sys.stderr)
            continue
        print(name)
        for label, value in lines:
            print(f"  {label:<9} {value}")
    return 2 if failed else 0


def describe(file: Container, size: int) -> list[tuple[str, str]]:
    """Labels and values; ``size`` is that of the whole file, in bytes."""
    streams = [len(stream) for stream in file.streams]
    name = _named(file)
    lines = [
        ("image", f"{file.width}×{file.height} {file.mode}"),
        ("size", f"{size} bytes, {8 * size / (file.width * file.height):.4f} bpp"),
        ("model", file.model.hex() + (f" ({name})" if name else "")),
        (
            "quality",
            "fixed" if file.quality is None else f"{index_to_quality(file.quality):.3f}",
        ),
    ]
    alpha = streams.pop() if file.mode.endswith("A") and len(streams) > 1 else None
    sizes = " + ".join(map(str, streams[:_LISTED_STREAMS]))
    if len(streams) > _LISTED_STREAMS:
        sizes += " + …"
    latent = f"{sum(streams)} bytes" + (
        f" in {len(streams)} tiles ({sizes})" if len(streams) > 1 else ""
    )
    lines.append(("latent", latent))
    if alpha is not None:
        lines.append(("alpha", f"{alpha} bytes"))
    lines.append(("header", f"{size - sum(len(stream) for stream in file.streams)} bytes"))
    if file.icc is not None:
        lines.append(("profile", f"ICC, {len(file.icc)} bytes of the header"))
    if file.cicp is not None:
        lines.append(("colours", "CICP " + "/".join(map(str, file.cicp)) + " (ITU-T H.273)"))
    if file.orientation is not None:
        lines.append(("turned", f"EXIF orientation {file.orientation}"))
    return lines


def _named(file: Container) -> str | None:
    """The model's name, as its fingerprint is known here, or else as the file tells it."""
    shipped = zoo.name_of(file.model)
    if shipped in zoo.EARLIER:
        return f"{shipped}, an earlier {shipped.rpartition('-')[0]}"
    return shipped or file.model_name


def _sources(inputs: list[str]) -> tuple[list[Path | None], list[tuple[Path, str]]]:
    """The files that are meant, and what of folders could not be taken in, and why."""
    check_given(inputs)
    if STANDARD in inputs and len(inputs) > 1:
        raise ConfigError("standard input (-) cannot be combined with other inputs")
    sources: list[Path | None] = []
    left_out: list[tuple[Path, str]] = []
    for name in inputs:
        path = Path(name)
        if name == STANDARD:
            sources.append(None)
        elif path.is_dir():
            found = search(path, {".tng"})
            missed = [*found.folders, *found.unusable]
            if not found.files and not missed:
                raise ConfigError(f"{path}: no .tng files in this folder")
            sources += found.files
            left_out += missed
        else:
            sources.append(path)
    return sources, left_out
