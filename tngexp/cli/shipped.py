"""``tng models``: the trained codecs and networks that come with the package."""

from __future__ import annotations

import argparse

from tngexp import zoo

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = "List the codecs and networks that come with tngexp."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has none."""


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    networks = [[name, _size(name), _default(name)] for name in zoo.NETWORKS]
    for title, rows in (
        ("codecs: tng compress --model NAME", [_row(name) for name in zoo.MODELS]),
        ("earlier ones, kept for the files they wrote", [_row(name) for name in zoo.EARLIER]),
        ("networks behind JPEG, WebP, AVIF and BPG: tng restore --model NAME", networks),
    ):
        if rows:
            print(title)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print(f"  {'  '.join(cells)}".rstrip())
    return 0


def _row(name: str) -> list[str]:
    codec = zoo.codec(name)
    return [
        name,
        f"id {codec.fingerprint}",
        f"model={codec.preset}",
        _size(name),
        f"for {codec.trained_for}" if codec.trained_for else "",
        f"an earlier {name.rpartition('-')[0]}" if name in zoo.EARLIER else _mark(name),
    ]


def _size(name: str) -> str:
    try:
        return f"{zoo.file_of(name).stat().st_size / 2**20:.1f} MiB"
    except OSError:
        return "missing: install tngexp again"


def _mark(name: str) -> str:
    return "with a look: tng decompress --look 1" if name in zoo.LOOKS else _default(name)


def _default(name: str) -> str:
    return "the default" if name in (zoo.DEFAULT, zoo.DEFAULT_NETWORK) else ""
