"""``tng compress``: images → ``.tng`` files."""

from __future__ import annotations

import argparse
import functools
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tngexp import __version__
from tngexp.cli.arguments import settle, share
from tngexp.cli.batch import Progress, add_common_arguments, chosen_settings, run_jobs, say
from tngexp.cli.files import Job, plan
from tngexp.cli.models import load_model
from tngexp.errors import ConfigError

if TYPE_CHECKING:
    from tngexp.bitstream.effort import Progress as Step
    from tngexp.bitstream.steering import Target
    from tngexp.pixels import Picture

__all__ = ["DESCRIPTION", "EXTENSIONS", "TARGETS", "add_arguments", "run"]

DESCRIPTION = "Compress images to .tng files."

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".tif", ".tiff", ".bmp"}
    | {".ppm", ".pgm", ".pbm"}
)
"""What a folder is searched for."""

TARGETS: tuple[tuple[str, Target, str], ...] = (
    ("--target-bpp", "bpp", "the best file of at most so many bits per pixel"),
    ("--target-psnr", "psnr", "the smallest file of at least so many dB PSNR"),
    ("--target-msssim", "ms_ssim", "the smallest file of at least this MS-SSIM (0 … 1)"),
)
"""Options that ask for a size or a quality, and what help says of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments and the common ones."""
    add_common_arguments(parser, ".tng")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "--quality",
        type=share,
        metavar="Q",
        help="0 (smallest file) to 1 (best image), for variable-rate models; default: 0.5",
    )
    for option, target, text in TARGETS:
        rate.add_argument(
            option,
            type=_positive,
            metavar="X",
            dest=target,
            help=f"{text}; tries qualities",
        )
    parser.add_argument(
        "--effort",
        type=int,
        choices=range(10),
        default=0,
        metavar="0…9",
        help="search for a smaller file of the same quality, or a better one for a target: each "
        "effort takes about twice as long as the one before, 5 about a minute and a half of CPU a "
        "megapixel; default: 0",
    )
    parser.add_argument(
        "--tune",
        choices=("mse", "msssim", "mixed"),
        help="what an effort above 0 searches for; default: what the model was trained for",
    )
    parser.add_argument(
        "--via",
        metavar="CODEC",
        help="write a standard file of jpeg, webp, avif or bpg instead, with the setting and the "
        "size of the picture that suit tng restore best; needs a target, and --model names the "
        "network",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="keep the colours of fully transparent pixels, which nobody sees",
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    if arguments.via is not None:
        from tngexp.cli.via import run_via

        return run_via(arguments)
    inputs, output = settle("compress", arguments, EXTENSIONS, {".tng"})
    work = plan(inputs, output, ".tng", EXTENSIONS)
    quality: float | None = arguments.quality
    exact: bool = arguments.exact
    codec = load_model(arguments.model)
    if quality is not None and not codec.model.rate.variable:
        raise ConfigError("--quality is for variable-rate models; this model has one fixed rate")
    effort: int = arguments.effort
    if arguments.tune and not effort:
        raise ConfigError("--tune says what a search looks for: add --effort 1 … 9")
    targets = [(t, v) for _, t, _ in TARGETS if (v := getattr(arguments, t)) is not None]

    # Here and not at the top: --help does without torch.
    from tngexp.bitstream.targets import compress_to
    from tngexp.coding.container import MAX_PIXELS
    from tngexp.pixels import PixelWarning, read_image, to_picture

    def coded(picture: Picture, **told: Any) -> bytes:
        chosen = {"effort": effort, "tune": arguments.tune, **told}
        if targets:
            return compress_to(codec, picture, *targets[0], exact=exact, **chosen)
        return codec.compress(picture, quality, **chosen)

    search = _Search(coded)

    def convert(job: Job, source: bytes, progress: Progress) -> tuple[bytes, str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PixelWarning)
            image = read_image(source, MAX_PIXELS)
            picture = to_picture(image, exact)
        for warning in caught:
            say(f"warning: {job.name}: {warning.message}")
        data = search(picture, progress) if effort else coded(picture, progress=progress)
        bpp = 8 * len(data) / (image.width * image.height)
        return data, f"{len(data)} bytes, {bpp:.3f} bpp"

    @functools.cache
    def model() -> dict[str, object]:
        from tngexp.bitstream.codec_files import identity

        return {**identity(codec), "objective": codec.model.objective}  # which a search follows

    def settings(source: bytes) -> list[object]:
        return ["compress", __version__, chosen_settings(arguments), model()]

    code = run_jobs(work, arguments.force, "compressed", convert, settings)
    search.stop()
    return code


class _Search:
    """Codes with an effort. Ctrl-C ends the search under way, whose file is still written, and then
    the command."""

    def __init__(self, code: Callable[..., bytes]) -> None:
        self._code = code
        self._share = 1.0  # of the latest search that is done

    def __call__(self, picture: Picture, progress: Progress) -> bytes:
        self.stop()
        self._share = 0.0
        words = ""

        def advance(share: float) -> None:
            self._share = share
            progress(share, words)

        def tell(step: Step) -> None:
            nonlocal words
            words = f"{step.bpp:.3f} bpp, distortion {step.distortion:.4g}"
            progress(self._share, words)

        try:
            return self._code(picture, tell=tell, progress=advance)
        except Exception:  # this file's own fault
            self._share = 1.0
            raise

    def stop(self) -> None:
        """Raises KeyboardInterrupt if the latest search was interrupted."""
        if self._share < 1:
            raise KeyboardInterrupt


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value
