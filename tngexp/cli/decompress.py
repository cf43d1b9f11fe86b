"""``tng decompress``: ``.tng`` files → images."""

from __future__ import annotations

import argparse
import functools
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tngexp import __version__, zoo
from tngexp.cli.arguments import check_given, settle, share
from tngexp.cli.batch import Progress, add_common_arguments, chosen_settings, run_jobs, say
from tngexp.cli.compress import EXTENSIONS
from tngexp.cli.files import STANDARD, Job, plan
from tngexp.cli.models import MODEL_VARIABLE, load_model, model_of
from tngexp.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

    from tngexp.bitstream import ImageCodec

__all__ = [
    "DESCRIPTION",
    "FORMATS",
    "SUFFIX",
    "add_arguments",
    "encode_image",
    "format_of",
    "run",
]

DESCRIPTION = "Decompress .tng files to lossless images."

FORMATS = {".png": "png", ".tif": "tiff", ".tiff": "tiff"}
_OPTIONS = {"png": {}, "tiff": {"compression": "tiff_lzw"}}
SUFFIX = {"png": ".png", "tiff": ".tif"}

# EXIF is a TIFF without pixels, whose first directory becomes that of the file. Of it is kept what
# tells of the picture. The rest would say how pixels lie in the file, which is up to the writer.
_TOLD_IN_TIFF = frozenset(
    {270, 271, 272, 282, 283, 305, 306, 315, 316}  # description, camera, density, author …
    | {18246, 18249, 33432, *range(40091, 40096)}  # rating, copyright, what Windows writes
    | {700, 33723, 34377}  # XMP, IPTC, Photoshop
)
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 34665, 34853, 40965  # directories of their own
_LISTED_IN_TIFF = {274: range(1, 9), 296: range(1, 4)}  # orientation, unit of the density


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments and the common ones."""
    add_common_arguments(parser, ".png")
    parser.add_argument(
        "--format",
        choices=sorted(_OPTIONS),
        help="of the images; default: what the name of the output says, else png",
    )
    parser.add_argument(
        "--look",
        type=share,
        default=0.0,
        metavar="A",
        help="0 (the faithful picture, default) to 1 (that of the model's look, if it has one); "
        "weights are mixed in between",
    )
    parser.add_argument(
        "--look-from",
        metavar="FILE",
        help="the look's file, made by tng look; default: what ships with the model",
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    kind = arguments.format or "png"
    # Any image's name is meant as the output, be it in a format that is not written.
    inputs, output = settle("decompress", arguments, {".tng"}, EXTENSIONS)
    work = plan(inputs, output, SUFFIX[kind], {".tng"})
    if not work.batch:
        kind = format_of(work.jobs[0].target, arguments.format)
    look: float = arguments.look
    look_from: str | None = arguments.look_from
    check_given([] if look_from is None else [look_from], "--look-from")
    if look_from is not None and not look:
        raise ConfigError("--look-from is not used at look 0: add --look 1, or less")

    @functools.cache
    def models(name: str | None) -> ImageCodec:
        return load_model(name, look_from)

    given = arguments.model or os.environ.get(MODEL_VARIABLE)
    if given:
        prepared = models(given).prepare()  # a model that cannot code is no single file's fault
        if work.batch:
            prepared.painters.at(look)  # nor is one without a look; a lone file may be another's

    def model(source: bytes) -> str | None:
        # A file names its model; one that is not shipped has to be given. The name of a shipped
        # one stands for its earlier generations, too: scripts that give it read their old files.
        if not given:
            return model_of(source)
        named = model_of(source) if zoo.is_shipped(given) else None
        return named if named in zoo.generations(given) else given

    def convert(job: Job, source: bytes, progress: Progress) -> tuple[bytes, str]:
        image = models(model(source)).decompress(source, look=look, progress=progress)
        return encode_image(image, kind, job.name), f"{image.width}×{image.height} {image.mode}"

    @functools.cache
    def identity_of(name: str | None) -> dict[str, str]:
        from tngexp.bitstream.codec_files import identity

        codec = models(name)
        found = codec.look() if look else None
        return {**identity(codec), **({} if found is None else {"look_sha256": found.sha256})}

    def settings(source: bytes) -> list[object]:
        model_used = identity_of(model(source))
        return ["decompress", __version__, chosen_settings(arguments), model_used]

    return run_jobs(work, arguments.force, "decompressed", convert, settings)


def encode_image(image: Image.Image, kind: str, name: str) -> bytes:
    """A lossless image file (``kind`` "png" or "tiff") with its colour marks and EXIF.

    Says so where TIFF has no place for a mark of the file called ``name``.
    """
    from PIL.PngImagePlugin import PngInfo

    options: dict[str, object] = dict(_OPTIONS[kind])
    if profile := image.info.get("icc_profile"):
        options["icc_profile"] = profile
    if exif := image.info.get("exif") or image.getexif():
        options["exif"] = exif
        if kind == "tiff":
            options["exif"] = kept = _tiff_exif(exif)
            if _EXIF_IFD in kept or _GPS_IFD in kept:
                options["compression"] = "raw"  # Pillow passes no such directories to libtiff
    if cicp := image.info.get("cicp"):
        if kind == "png":
            options["pnginfo"] = chunks = PngInfo()
            chunks.add(b"cICP", cicp)
        else:
            say(
                f"warning: {name}: TIFF has no place for its colours' mark "
                f"(CICP {'/'.join(map(str, cicp))}); PNG has"
            )
    buffer = io.BytesIO()
    image.save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def _tiff_exif(exif: bytes | Image.Exif) -> Image.Exif:
    """What a TIFF takes of the EXIF of a picture."""
    from PIL import Image

    kept = Image.Exif()
    kept.load(exif if isinstance(exif, bytes) else exif.tobytes())
    for tag, value in list(kept.items()):
        directory = tag in (_EXIF_IFD, _GPS_IFD)
        if not (directory or tag in _TOLD_IN_TIFF or value in _LISTED_IN_TIFF.get(tag, ())):
            del kept[tag]
    if _EXIF_IFD in kept and _INTEROP_IFD in (photo := kept.get_ifd(_EXIF_IFD)):
        photo[_INTEROP_IFD] = kept.get_ifd(_INTEROP_IFD)  # instead of where it lay
    return kept


def format_of(target: Path | None, chosen: str | None) -> str:
    """The format of a picture written to ``target``, as its name or ``--format`` says.

    Raises:
        ConfigError: for another name, or when the two contradict.
    """
    named = None if target is None else FORMATS.get(target.suffix.lower())
    if target is not None and target.suffix and named is None and chosen is None:
        raise ConfigError(
            f"{target}: images are written as {' or '.join(sorted(_OPTIONS))}; "
            f"use such a name, or choose with --format, or write to standard output ({STANDARD})"
        )
    if chosen and named and chosen != named:
        raise ConfigError(f"{target} is not a name for --format {chosen}")
    return chosen or named or "png"
