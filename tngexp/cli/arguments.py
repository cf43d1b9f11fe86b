"""What the words of a command line mean, before anything is done with them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence, Set
from pathlib import Path

from tngexp.cli.files import STANDARD
from tngexp.errors import ConfigError

__all__ = ["check_given", "settle", "share"]

_SHOWN = 3  # inputs that a suggested command repeats


def check_given(words: Sequence[str], what: str = "an input") -> None:
    """Refuse what an unset variable of the shell leaves behind: nothing, or the root folder.

    An empty name would otherwise stand for the current folder, and all that is in it.

    Raises:
        ConfigError: saying so.
    """
    for word in words:
        if not word:
            raise ConfigError(
                f"{what} is an empty name (a variable of the shell that is not set?); "
                "the current folder is called ."
            )
        if word != STANDARD and Path(word).is_absolute() and Path(word) == Path(word).parent:
            raise ConfigError(
                f"{what} is {word}, the whole file system (a variable of the shell that is not "
                "set?): name a folder in it"
            )


def settle(
    command: str, arguments: argparse.Namespace, extensions: Set[str], outputs: Set[str]
) -> tuple[list[str], str | None]:
    """Inputs and output as they are meant, where the output comes last as in cjxl and cp.

    ``IN OUT`` is taken for ``IN -o OUT`` where OUT is a new file with the name of an output. What
    else looks like an output among the inputs is refused.

    Args:
        command: "compress"; for the command that an error suggests.
        arguments: with ``inputs``, ``output`` (with which nothing else is taken for an output)
            and ``model``.
        extensions: of inputs, in lower case, with the dot.
        outputs: of outputs, likewise; some may be of inputs, too.

    Raises:
        ConfigError: with the command that was probably meant.
    """
    inputs: list[str] = arguments.inputs
    output: str | None = arguments.output
    check_given(inputs)
    check_given([] if output is None else [output], "-o")
    check_given([] if arguments.model is None else [arguments.model], "--model")
    if output is not None or len(inputs) < 2:
        return inputs, output
    *sources, last = inputs
    path, suffix = Path(last), Path(last).suffix.lower()
    single = len(sources) == 1 and sources != [STANDARD] and not Path(sources[0]).is_dir()
    if last == STANDARD:
        # Standard input goes with nothing else: after a file this can only be standard output.
        return (sources, STANDARD) if single else (inputs, None)
    if suffix in outputs and not path.exists():
        if single or sources == [STANDARD]:
            return sources, last
        raise ConfigError(
            f"{last}: no such file, and one file cannot hold several results; meant was: "
            f"{_command(command, sources, str(path.with_suffix('')))}"
        )
    if suffix in outputs - extensions:
        if single and path.is_file() and Path(sources[0]).suffix.lower() not in outputs:
            raise ConfigError(
                f"{last} exists, and is nothing to {command}; to replace it: "
                f"{_command(command, sources, last)} --force"
            )
    elif suffix not in extensions and not path.exists():
        raise ConfigError(
            f"{last}: no such file or folder; if it is the output: "
            f"{_command(command, sources, last)}"
        )
    return inputs, None


def _command(command: str, sources: Sequence[str], output: str) -> str:
    words = sources if len(sources) <= _SHOWN else [*sources[:_SHOWN], "…"]
    shown = " ".join(word if word == "…" else shlex.quote(word) for word in words)
    return f"tng {command} {shown} -o {shlex.quote(output)}"


def share(text: str) -> float:
    """A number from 0 to 1, as a ``type`` of argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text}")
    return value
