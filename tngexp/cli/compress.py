"""``tng compress``: images → ``.tng`` files."""

from __future__ import annotations

import argparse
import io
import math
import warnings
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from tngexp.cli.batch import add_common_arguments, run_jobs
from tngexp.cli.files import Job, plan, read_bytes
from tngexp.cli.models import load_model
from tngexp.targets import Target, compress_to
from tngexp.types import ConfigError, TngexpError

if TYPE_CHECKING:
    from tngexp.bitstream import ImageCodec

__all__ = ["DESCRIPTION", "EXTENSIONS", "add_arguments", "read_image", "run"]

DESCRIPTION = "Compress images to .tng files."

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".tif", ".tiff", ".bmp"}
    | {".ppm", ".pgm", ".pbm"}
)
"""What a folder is searched for."""

_TARGETS: tuple[tuple[str, Target, str], ...] = (
    ("--target-bpp", "bpp", "the best file of at most so many bits per pixel"),
    ("--target-psnr", "psnr", "the smallest file of at least so many dB PSNR"),
    ("--target-msssim", "ms_ssim", "the smallest file of at least this MS-SSIM (0 … 1)"),
)

# Only these decoders may run, whatever a file's first bytes say: others (EPS) call programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "GIF")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments and the common ones."""
    add_common_arguments(parser, ".tng")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "--quality",
        type=_quality,
        metavar="Q",
        help="0 (smallest file) to 1 (best image), for variable-rate models; default: 0.5",
    )
    for option, target, text in _TARGETS:
        rate.add_argument(
            option,
            type=_positive,
            metavar="X",
            dest=target,
            help=f"{text}; tries qualities",
        )


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    work = plan(arguments.inputs, arguments.output, ".tng", EXTENSIONS)
    quality: float | None = arguments.quality
    codec: ImageCodec = load_model(arguments.model)
    if quality is not None and not codec.model.rate.variable:
        raise ConfigError("--quality is for variable-rate models; this model has one fixed rate")
    codec.prepare()  # a model that cannot code is no single file's fault
    targets = [(t, v) for _, t, _ in _TARGETS if (v := getattr(arguments, t)) is not None]

    def convert(job: Job) -> tuple[bytes, str]:
        image = read_image(read_bytes(job.source))
        data = compress_to(codec, image, *targets[0]) if targets else codec.compress(image, quality)
        bpp = 8 * len(data) / (image.width * image.height)
        return data, f"{len(data)} bytes, {bpp:.3f} bpp"

    return run_jobs(work, arguments.force, "compressed", convert)


def read_image(data: bytes) -> Image.Image:
    """Decode an image file, its first frame if it has several.

    Raises:
        TngexpError: with the reason, whatever a decoder throws.
    """
    from tngexp.coding.container import MAX_PIXELS

    if not data:
        raise TngexpError("the file is empty")
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
            image.load()
            _drop_damaged_exif(image)
            return image
    except UnidentifiedImageError:
        raise TngexpError("not an image in a known format") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise TngexpError(f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise SyntaxError, struct.error, ValueError and more
        raise TngexpError(f"the image is damaged: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _drop_damaged_exif(image: Image.Image) -> None:
    """A damaged EXIF block does not make the picture unusable."""
    try:
        image.getexif().get(0x0112)
    except Exception:  # whatever its TIFF parser trips over
        image.info.pop("exif", None)


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text}")
    return value


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value
