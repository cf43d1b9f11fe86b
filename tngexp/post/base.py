"""What a restoration network looks like to the rest, and what it is told of a picture's origin."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["CODECS", "FEATURES", "GRID", "Post", "features"]

CODECS = ("jpeg", "webp", "avif", "bpg")
"""Families of codecs that a network can tell apart."""

GRID = 16
"""Pixels after which JPEG's blocks repeat, per axis: 8 of luminance, 16 of chroma that was halved.
WebP's macroblocks have this size, and blocks of AVIF and HEVC are fractions and multiples of it."""

FEATURES = len(CODECS) + 5
"""Numbers of a condition, see :func:`features`."""

_OCTAVES = 8.0  # log2 of the coarsest step there is


def features(
    codec: str | None = None,
    luma_step: float = 1.0,
    chroma_step: float = 1.0,
    subsampled: bool = False,
    scale: float = 1.0,
) -> Tensor:
    """The condition of one picture, (FEATURES,): what is known of how it was coded.

    One number for each of ``CODECS``, log2 of both steps in units of eight octaves, whether
    chroma is subsampled, log2 of the scale, and whether anything is known at all. Steps are those
    of an orthonormal transform in 8-bit levels, so that settings of different codecs are alike.

    Args:
        codec: one of ``CODECS``; None for a picture of unknown origin, whose steps do not count.
        luma_step: quantizer step of luminance.
        chroma_step: quantizer step of chroma.
        subsampled: whether chroma was coded at a lower resolution.
        scale: by how much the picture was made smaller before coding, 1 for not at all.
    """
    values = torch.zeros(FEATURES)
    values[-2] = math.log2(scale)
    if codec is None:
        return values
    values[CODECS.index(codec)] = 1.0
    n = len(CODECS)
    values[n] = math.log2(max(luma_step, 0.5)) / _OCTAVES
    values[n + 1] = math.log2(max(chroma_step, 0.5)) / _OCTAVES
    values[n + 2] = float(subsampled)
    values[-1] = 1.0
    return values


class Post(nn.Module):
    """From decoded pictures, already enlarged to their final size, to restored ones.

    Final subclasses set the two numbers in ``__init__`` and define ``forward(x, condition)``:
    x (B, 3, H, W) in [0, 1] with sides that are multiples of ``multiple``, condition
    (B, FEATURES) from :func:`features`; the result has the shape of ``x`` and is not clamped. It
    must commute with shifts by multiples of ``multiple`` · ``GRID`` · 3 pixels, in which the grid
    falls into place at every scale.
    """

    multiple: int  # pixels
    reach: int  # pixels seen beyond a cell of ``multiple`` × ``multiple``, per side
