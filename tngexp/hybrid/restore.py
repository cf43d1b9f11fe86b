"""Pictures that a conventional codec has coded, made better: ``tng restore``."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tngexp import zoo
from tngexp.anchors import Anchor
from tngexp.anchors.bpg import BpgAnchor
from tngexp.anchors.intra import hevc, x265_for_bpg
from tngexp.errors import ConfigError
from tngexp.hybrid.estimate import estimate_origin
from tngexp.hybrid.model import Hybrid, condition_of, load_hybrid
from tngexp.hybrid.note import Note, read_note
from tngexp.hybrid.origin import Origin, UnknownOriginError, read_origin
from tngexp.hybrid.origin import is_deep as is_deep_codec
from tngexp.hybrid.scaling import enlarged, factor_between
from tngexp.pixels import (
    Picture,
    PixelWarning,
    UnreadableImageError,
    holds_deep,
    is_deep,
    read_image,
    to_picture,
)
from tngexp.post.base import CODECS

__all__ = ["MAX_PIXELS", "Restored", "restore", "restore_file"]

MAX_PIXELS = 2**28
"""Of the largest picture that is restored."""

_EXIF = "exif"


class Restored(NamedTuple):
    """A restored picture, and what was found out about the one before."""

    image: Image.Image
    origin: Origin | None  # None: nothing was known of it
    estimated: bool  # from the pixels, since the file does not tell
    scale: float  # by how much the picture had been made smaller
    plain: bool  # left as decoded, as its file asks for

    def describe(self) -> str:
        """One line for people."""
        if self.plain:
            return "left as decoded: its encoder found that the network would make it worse"
        if self.origin is None:
            return "restored without knowing how it was coded"
        size = "" if self.scale == 1 else f", enlarged {self.scale:.3g} times"
        how = " as its pixels tell" if self.estimated else ""
        return f"restored from {self.origin.codec}, step {self.origin.luma_step:.3g}{how}{size}"


def restore(
    image: Image.Image | str | os.PathLike[str] | bytes,
    model: str | Path | Hybrid = zoo.DEFAULT_NETWORK,
    *,
    progress: Callable[[float], object] = lambda share: None,
) -> Image.Image:
    """A better picture of what a conventional codec has left.

    How coarsely a picture was coded stands in its file; an image in memory is of a file while it
    knows the one that it was opened from and has its pixels. Of others the pixels tell, if they are
    those of a JPEG (:mod:`tngexp.hybrid.estimate`); else the network makes of them what it can.

    Args:
        image: a file's name or its bytes, or a Pillow image.
        model: a shipped network, a checkpoint of ``model=hybrid``, or the network itself.
        progress: called with the share that is done.

    Returns:
        The picture with its profile and EXIF, in RGB or grey, with the alpha that it had.

    Raises:
        ConfigError: for a codec that the network was not trained for, an animation, or more than 8
            bits a channel.
        UnreadableImageError: for what is no image, or one of more than ``MAX_PIXELS``.
        CheckpointError: for an unusable ``model``.
    """
    network = model if isinstance(model, Hybrid) else load_hybrid(model)
    if isinstance(image, Image.Image):
        return _restored_image(image, network, progress)
    if not isinstance(image, bytes):
        image = Path(image).read_bytes()
    return restore_file(image, network, progress).image


def restore_file(
    data: bytes, network: Hybrid, progress: Callable[[float], object] = lambda share: None
) -> Restored:
    """The restored picture of a file.

    Files of HEVC and BPG, which Pillow does not read, are decoded by the anchors.

    Args:
        data: the whole file.
        network: in evaluation mode.
        progress: called with the share that is done.

    Raises:
        ConfigError: for a codec that the network was not trained for, an animation, or more than 8
            bits a channel.
        UnreadableImageError: for what is no image, or one of more than ``MAX_PIXELS``.
        AnchorError: where what decodes the file is missing.
    """
    origin, note = _told(data)
    _check_codec(origin, network)
    picture, exif = _opened(data, origin)
    return _restored(picture, exif, origin, note, network, progress)


def _restored_image(
    image: Image.Image, network: Hybrid, progress: Callable[[float], object]
) -> Image.Image:
    """With what the image itself holds, and of its file no more than how that was coded."""
    _check_depth(holds_deep(image))
    data = _file_of(image)  # before it is decoded, when Pillow forgets a file without a name
    picture = to_picture(image)
    origin: Origin | None = None
    note: Note | None = None
    if data is not None and _shows(data, picture):
        origin, note = _told(data)
        _check_codec(origin, network)
    return _restored(picture, _exif_of(image), origin, note, network, progress).image


def _restored(
    picture: Picture,
    exif: bytes | None,
    origin: Origin | None,
    note: Note | None,
    network: Hybrid,
    progress: Callable[[float], object],
) -> Restored:
    rgb = _pixels(picture)
    height, width = rgb.shape[:2]
    factor = None if note is None else factor_between(rgb.shape, note.height, note.width)
    if factor is None:
        note = None  # it is of what the picture was before it was turned, or cut
    if note is not None:
        height, width = note.height, note.width
    if height * width > MAX_PIXELS:
        raise UnreadableImageError(f"larger than {MAX_PIXELS / 1e6:.0f} megapixels")
    rgb = np.array(enlarged(rgb, height, width))
    if picture.alpha is not None:
        alpha = Image.fromarray(picture.alpha).resize((width, height))
        picture = picture._replace(alpha=np.asarray(alpha))
    plain, scale = note is not None and note.plain, factor or 1.0
    estimated = origin is None and (origin := _estimated(rgb, network)) is not None
    if not plain:
        rgb = network.restore(rgb, condition_of(origin, scale), progress)
    return Restored(_image(picture, rgb, exif), origin, estimated, scale, plain)


def _estimated(rgb: NDArray[np.uint8], network: Hybrid) -> Origin | None:
    return estimate_origin(rgb) if "jpeg" in families(network) else None


def families(network: Hybrid) -> tuple[str, ...]:
    """The kinds of files that a network was trained for, of ``CODECS``."""
    return tuple(
        family for family in CODECS if any(_family(name) == family for name in network.base)
    )


def _family(base: str) -> str:
    return {"jpeg444": "jpeg", "hevc": "bpg"}.get(base, base)


def _told(data: bytes) -> tuple[Origin | None, Note | None]:
    """What a file says of itself; nothing if it is of another kind."""
    origin: Origin | None = None
    note: Note | None = None
    with contextlib.suppress(UnknownOriginError):
        note = read_note(data)
    with contextlib.suppress(UnknownOriginError):  # a lossless file may have a note all the same
        origin = read_origin(data)
    return origin, note


def _check_codec(origin: Origin | None, network: Hybrid) -> None:
    if origin is not None and origin.codec not in families(network):
        raise ConfigError(
            f"coded as {origin.codec.upper()}, while this network was trained for "
            f"{', '.join(network.base)}: name another with --model"
        )


def _check_depth(deep: bool) -> None:
    if deep:
        raise ConfigError(
            "more than 8 bits a channel, which no codec writes that the network knows"
        )


def _opened(data: bytes, origin: Origin | None) -> tuple[Picture, bytes | None]:
    """The decoded picture of a file, and its EXIF."""
    with contextlib.suppress(UnknownOriginError):  # damage is for the decoder to name
        _check_depth(is_deep_codec(data))
    if origin is not None and origin.codec == "bpg":
        return to_picture(Image.fromarray(_decoder(data, origin).decode(data))), None
    _check_depth(is_deep(data, MAX_PIXELS))
    with warnings.catch_warnings():
        warnings.simplefilter("error", PixelWarning)
        try:
            image = read_image(data, MAX_PIXELS)
        except PixelWarning as warning:
            raise ConfigError(f"{warning}: restore them one by one") from None
    return to_picture(image), _exif_of(image)


def _exif_of(image: Image.Image) -> bytes | None:
    exif = image.info.get(_EXIF)
    return exif if isinstance(exif, bytes) else None


def _decoder(data: bytes, origin: Origin) -> Anchor:
    """What decodes a file of HEVC, which Pillow does not read."""
    if data.startswith(b"BPG\xfb"):
        return BpgAnchor()
    return hevc() if origin.subsampled else x265_for_bpg()


def _pixels(picture: Picture) -> NDArray[np.uint8]:
    return np.ascontiguousarray(picture.rgb.permute(1, 2, 0).numpy())


def _image(picture: Picture, rgb: NDArray[np.uint8], exif: bytes | None) -> Image.Image:
    """A Pillow image with what belongs to the picture."""
    image = Image.fromarray(rgb)
    if picture.mode.startswith("L"):
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    for key, value in (("icc_profile", picture.icc), ("cicp", picture.cicp), (_EXIF, exif)):
        if value is not None:
            image.info[key] = value
    return image


def _file_of(image: Image.Image) -> bytes | None:
    """The file that an image of this size was opened from; None where there is none to be had."""
    if image.format is None:  # most operations on an image make one without
        return None
    stream = getattr(image, "fp", None) or getattr(image, "_fp", None)
    name = getattr(image, "filename", "")
    data: bytes | None = None
    if name and Path(name).is_file():
        data = Path(name).read_bytes()
    elif isinstance(stream, io.BytesIO):
        data = stream.getvalue()
    if data is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = Image.open(io.BytesIO(data))
        except (OSError, SyntaxError, ValueError):
            return None
    return data if found.size == image.size and found.format == image.format else None


def _shows(data: bytes, picture: Picture) -> bool:
    """Whether a file is still what a picture looks like: paint leaves no other trace.

    Raises:
        ConfigError: where the file is one that is not restored.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PixelWarning)  # said of the picture already
        try:
            found, _ = _opened(data, None)
        except UnreadableImageError:  # changed since, or of a kind that only a plugin reads
            return False
    if not torch.equal(found.rgb, picture.rgb):
        return False
    if found.alpha is None or picture.alpha is None:
        return found.alpha is picture.alpha
    return np.array_equal(found.alpha, picture.alpha)
