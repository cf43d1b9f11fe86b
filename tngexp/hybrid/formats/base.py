"""What is known of a file, and what each of the formats can do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tngexp.errors import TngexpError

__all__ = ["FIELD_NAME", "Format", "Origin", "UnknownOriginError", "geometric_mean"]

FIELD_NAME = b"tnGn"
"""Four letters that tell the field of :mod:`tngexp.hybrid.note` from those of others.

As the name of a RIFF chunk they also say that the chunk is nobody's standard: such names are not
all upper case.
"""


class UnknownOriginError(TngexpError):
    """A file that does not tell how it was coded; the message says what it is, and why not."""


class Origin(NamedTuple):
    """How a picture was coded, as its file tells.

    Steps are those of a uniform quantizer of the AC coefficients of an orthonormal transform, in
    levels of 8 bits whatever the depth of the file, so that they compare across codecs. Uniformly
    distributed errors of a step have the variance step²/12 in the pixels of a plane, too.
    """

    codec: str  # family: "jpeg", "webp", "avif" or "bpg", which is any HEVC intra
    luma_step: float
    chroma_step: float  # that of luma where there is no chroma
    subsampled: bool  # chroma has half the resolution, in one direction or in both


class Format(NamedTuple):
    """A kind of file. All functions take whole files, and raise UnknownOriginError for damage."""

    name: str  # for people: "JPEG"
    matches: Callable[[bytes], bool]  # whether a file is of this kind, by its first bytes
    read_origin: Callable[[bytes], Origin]
    read_field: Callable[[bytes], bytes | None]  # the field's content without its name
    write_field: Callable[[bytes, bytes], bytes]  # (file, content) → file with this field alone
    is_deep: Callable[[bytes], bool] = lambda data: False  # more than 8 bits a channel


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean logarithm of positive values, of which there is at least one."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))
