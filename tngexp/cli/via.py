"""``tng compress --via jpeg``: standard files, made for the network that will restore them."""

from __future__ import annotations

import argparse
import functools
import warnings
from typing import TYPE_CHECKING

from tngexp import __version__
from tngexp.cli.arguments import settle
from tngexp.cli.batch import Progress, chosen_settings, run_jobs, say
from tngexp.cli.compress import EXTENSIONS, TARGETS
from tngexp.cli.files import Job, plan
from tngexp.cli.restore import load_network
from tngexp.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

    from tngexp.anchors.base import Pixels

__all__ = ["run_via"]


def run_via(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    targets = [(t, v) for _, t, _ in TARGETS if (v := getattr(arguments, t)) is not None]
    if not targets:
        options = ", ".join(option for option, _, _ in TARGETS)
        raise ConfigError(f"--via {arguments.via} needs a target to choose a setting by: {options}")
    if arguments.effort or arguments.tune:
        raise ConfigError("--effort and --tune are for learned codecs; leave them out with --via")
    network, digest = load_network(arguments.model)

    # Here and not at the top: --help does without torch.
    from tngexp.anchors import anchor
    from tngexp.hybrid.restore import MAX_PIXELS
    from tngexp.hybrid.target import code_to
    from tngexp.pixels import PixelWarning, read_image

    codec = anchor(arguments.via)
    if codec.name not in network.base:
        raise ConfigError(
            f"--via {codec.name}: the network was trained for {', '.join(network.base)}"
        )
    if line := codec.missing():
        raise ConfigError(f"--via {codec.name}: {line}")
    named = {codec.extension, ".jpeg"} if codec.extension == ".jpg" else {codec.extension}
    inputs, output = settle("compress", arguments, EXTENSIONS, named)
    work = plan(inputs, output, codec.extension, EXTENSIONS)

    def convert(job: Job, source: bytes, progress: Progress) -> tuple[bytes, str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PixelWarning)
            rgb = _srgb(read_image(source, MAX_PIXELS))
        for warning in caught:
            say(f"warning: {job.name}: {warning.message}")
        made = code_to(codec, network, rgb, *targets[0], progress)
        size = "" if made.factor == 1 else f", 1/{made.factor:g} of the size"
        return made.data, (
            f"{len(made.data)} bytes, {made.bpp:.3f} bpp, {codec.describe(made.setting)}{size}"
        )

    @functools.cache
    def used() -> list[object]:
        return ["compress", __version__, chosen_settings(arguments), digest, codec.version()]

    return run_jobs(work, arguments.force, "compressed", convert, lambda source: used())


def _srgb(image: Image.Image) -> Pixels:
    """Upright sRGB pixels: a file of the anchors has no place for a profile or an orientation.

    Colours that cannot be converted stay as they are, with a PixelWarning.

    Raises:
        ConfigError: for a picture with transparency.
    """
    import numpy as np
    from PIL import Image, ImageOps

    from tngexp.pixels import to_picture
    from tngexp.pixels.colour import Colour, in_srgb

    picture = to_picture(image)
    if picture.alpha is not None:
        raise ConfigError("it has transparency, for which these files have no place: flatten it")
    rgb = np.ascontiguousarray(picture.rgb.permute(1, 2, 0).numpy())
    rgb = in_srgb(rgb, Colour(picture.icc, picture.cicp))
    if picture.orientation is not None:
        upright = Image.fromarray(rgb)
        upright.getexif()[0x0112] = picture.orientation
        rgb = np.asarray(ImageOps.exif_transpose(upright))
    return np.ascontiguousarray(rgb)
