"""How coarsely a picture was coded, told from its pixels: a JPEG that was saved as PNG."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tngexp.anchors import anchor
from tngexp.hybrid.origin import Origin, read_origin

__all__ = ["estimate_origin"]

_BLOCK = 8
_LARGEST = 255  # step that is looked for
_ENOUGH = 24  # coefficients that are not zero, of one frequency
_PERIODIC = 0.6  # mean cosine from which a step counts as found, but for the rounding of pixels
_STRAYS = 0.1  # share of zeros that may be something else, where colours were clipped
_ROUNDING = 0.17  # variance of a coefficient after pixels were rounded
_AGREE = 5  # frequencies that have to tell of one and the same table
_BLOCKS = 16384  # at most, spread over the picture: a megapixel

# The tables of ITU-T T.81, annex K, with which nearly all JPEGs are coded, up to a factor: the
# first AC frequencies of luminance as (row, column, step).
_STEPS = (
    *((0, 1, 11), (1, 0, 12), (2, 0, 14), (1, 1, 12), (0, 2, 10), (0, 3, 16), (1, 2, 14)),
    *((2, 1, 13), (3, 0, 14), (4, 0, 18), (3, 1, 17), (2, 2, 16), (1, 3, 19)),
)


def estimate_origin(rgb: NDArray[np.uint8]) -> Origin | None:
    """The origin of a picture (H, W, 3) that was a JPEG; None where nothing tells.

    The coefficients of each frequency of a decoded JPEG lie near multiples of its step, so the
    largest step for which they do is the one it was coded with (Fan & de Queiroz 2003,
    "Identification of bitmap compression history"). Found are JPEGs whose pixels have not been
    changed since, cropped at the right and the bottom only. Chroma is taken to have been coded as
    it is nearly always.
    """
    coefficients = _coefficients(rgb)
    ratios = [
        step / usual
        for row, column, usual in _STEPS
        if (step := _step(coefficients[:, row, column])) is not None
    ]
    if len(ratios) < _AGREE:
        return None
    factor = float(np.median(ratios))
    agree = [ratio for ratio in ratios if 0.7 < ratio / factor < 1.4]
    if len(agree) < max(_AGREE, len(ratios) / 2):
        return None  # no table looks like that: chance
    factor = sum(agree) / len(agree)
    return _usual(factor)


def _usual(factor: float) -> Origin:
    """What a JPEG with the usual tables times ``factor`` says of itself."""
    quality = 50 / factor if factor > 1 else 100 - 50 * factor  # libjpeg's scale
    setting = min(max(round(quality), 1), 95)
    return read_origin(anchor("jpeg").encode(np.zeros((_BLOCK, _BLOCK, 3), np.uint8), setting))


def _coefficients(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Orthonormal DCT (blocks, 8, 8) of luminance."""
    height, width = (side // _BLOCK for side in rgb.shape[:2])
    pixels = rgb[: height * _BLOCK, : width * _BLOCK].astype(np.float64)
    tiles = pixels.reshape(height, _BLOCK, width, _BLOCK, 3).swapaxes(1, 2)
    tiles = tiles.reshape(-1, _BLOCK, _BLOCK, 3)
    # Where levels were clipped, coefficients are no multiples any more.
    tiles = tiles[(tiles.min((1, 2, 3)) > 0) & (tiles.max((1, 2, 3)) < 255)]
    blocks = tiles[:: max(1, -(-len(tiles) // _BLOCKS))] @ np.array([0.299, 0.587, 0.114])
    n = np.arange(_BLOCK)
    basis = np.cos(math.pi * (2 * n + 1) * n[:, None] / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    basis[0] /= math.sqrt(2)
    result: NDArray[np.float64] = basis @ blocks @ basis.T
    return result


def _step(values: NDArray[np.float64]) -> int | None:
    """The largest step of which ``values`` are multiples, up to rounding; None for none."""
    sizes = np.abs(values)
    for step in range(_LARGEST, 1, -1):
        periodic = _periodic(sizes, step)
        if periodic > _PERIODIC * _blurred(step):
            # Of values that are all of one size the neighbours of their step look periodic, too.
            while step > 2 and (finer := _periodic(sizes, step - 1)) > periodic:
                step, periodic = step - 1, finer
            return step
    return None


def _periodic(sizes: NDArray[np.float64], step: int) -> float:
    """Mean cosine of the phase of the values that are not zero; −1 where there are too few."""
    zero = sizes <= step / 2
    large, small = sizes[~zero], sizes[zero]
    if len(large) < _ENOUGH:
        return -1.0
    if len(small) and (small > min(2.0, max(1.0, step / 4))).mean() > _STRAYS:
        return -1.0  # a codec that rounds to multiples of the step leaves nothing there
    return float(np.cos(2 * math.pi * large / step).mean())


def _blurred(step: int) -> float:
    """What rounding of the decoded pixels leaves of a mean cosine of one."""
    return math.exp(-2 * math.pi**2 * _ROUNDING / step**2)
