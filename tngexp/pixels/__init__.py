"""One rule for the pixels of any image: what is trained on, coded, measured and shown."""

from __future__ import annotations

from tngexp.pixels.errors import PixelWarning, UnreadableImageError
from tngexp.pixels.files import decoding, is_deep, read_header, read_image
from tngexp.pixels.modes import Levels, holds_deep, image_levels, over_white
from tngexp.pixels.picture import Picture, Source, to_picture

__all__ = [
    "Levels",
    "Picture",
    "PixelWarning",
    "Source",
    "UnreadableImageError",
    "decoding",
    "holds_deep",
    "image_levels",
    "is_deep",
    "over_white",
    "read_header",
    "read_image",
    "to_picture",
]
