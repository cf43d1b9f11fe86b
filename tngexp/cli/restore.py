"""``tng restore``: JPEG, WebP, AVIF and BPG files → better pictures."""

from __future__ import annotations

import argparse
import functools
import os
import warnings
from typing import TYPE_CHECKING

from tngexp import __version__, zoo
from tngexp.cli.arguments import settle
from tngexp.cli.batch import Progress, add_common_arguments, chosen_settings, run_jobs, say
from tngexp.cli.decompress import FORMATS, SUFFIX, encode_image, format_of
from tngexp.cli.files import Job, plan

if TYPE_CHECKING:
    from tngexp.hybrid.model import Hybrid

__all__ = ["DESCRIPTION", "MODEL_VARIABLE", "add_arguments", "load_network", "run"]

DESCRIPTION = (
    "Make better pictures of JPEG, WebP, AVIF and BPG files with a network, as PNG or TIFF."
)

MODEL_VARIABLE = "TNGEXP_RESTORER"

# Without PNG, or the results of a folder would be restored once more by the next run.
_INPUTS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bpg", ".hevc"})
_ENDING = "-restored"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments and the common ones."""
    add_common_arguments(
        parser,
        f"{_ENDING}.png",
        f"a shipped network or a checkpoint of model=hybrid; default: what {MODEL_VARIABLE} "
        f"names, else {zoo.DEFAULT_NETWORK}",
    )
    parser.add_argument(
        "--format",
        choices=sorted(SUFFIX),
        help="of the pictures; default: what the name of the output says, else png",
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    kind = arguments.format or "png"
    inputs, output = settle("restore", arguments, _INPUTS, set(FORMATS))
    work = plan(inputs, output, f"{_ENDING}{SUFFIX[kind]}", _INPUTS)
    if not work.batch:
        kind = format_of(work.jobs[0].target, arguments.format)
    network, digest = load_network(arguments.model)

    # Here and not at the top: --help does without torch.
    from tngexp.hybrid.restore import restore_file
    from tngexp.pixels import PixelWarning

    def convert(job: Job, source: bytes, progress: Progress) -> tuple[bytes, str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PixelWarning)
            restored = restore_file(source, network, progress)
        for warning in caught:
            say(f"warning: {job.name}: {warning.message}")
        return encode_image(restored.image, kind, job.name), restored.describe()

    @functools.cache
    def used() -> list[object]:
        return ["restore", __version__, chosen_settings(arguments), digest]

    return run_jobs(work, arguments.force, "restored", convert, lambda source: used())


def load_network(given: str | None) -> tuple[Hybrid, str]:
    """The network that was given, or the default one, and a digest of its file.

    Raises:
        TngexpError: when it is unusable.
    """
    name = given or os.environ.get(MODEL_VARIABLE) or zoo.DEFAULT_NETWORK
    from tngexp.hybrid.codec import digest_of
    from tngexp.hybrid.model import load_hybrid
    from tngexp.model.files import locate

    return load_hybrid(name), digest_of(locate(name))
