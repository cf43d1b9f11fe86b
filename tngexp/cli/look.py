"""``tng look``: a training's checkpoint → the file of a look."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tngexp.cli.arguments import check_given
from tngexp.cli.batch import say
from tngexp.cli.files import OutputError, check_writable, occupied

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = "Make the file of a look of a training with experiment=tng_perceptual."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="RUN/checkpoints/last.ckpt")
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="the look: a .safetensors file"
    )
    parser.add_argument(
        "--of",
        metavar="MODEL",
        help="the codec for whose files it is; default: what the training started from",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    check_given([arguments.checkpoint], "the checkpoint")
    check_given([arguments.output], "-o")
    check_given([] if arguments.of is None else [arguments.of], "--of")
    target = Path(arguments.output)
    if occupied(target) and not arguments.force:
        raise OutputError(f"{target} exists; --force overwrites it")
    for name in (arguments.checkpoint, arguments.of):
        if name is not None and os.path.exists(name) and occupied(target) and target.samefile(name):
            raise OutputError(f"{target} would replace {name} itself; give another with -o")
    check_writable(target)

    # Here and not at the top: --help does without torch.
    from tngexp.bitstream.look_files import save_look

    saved = save_look(arguments.checkpoint, target, of=arguments.of)
    say(f"{saved.path}: a look for {saved.codec} ({saved.model}), {saved.bytes} bytes")
    return 0
