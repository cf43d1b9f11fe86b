"""Dead leaves: pictures of occluding disks, statistically close to natural images.

Lee, Mumford & Huang 2001, "Occlusion Models for Natural Images": disks whose radii follow a
density ∝ r⁻³, dropped over each other, reproduce the scale invariance, edges and heavy-tailed
gradients of photographs. They stand in for photos where none can be downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tngexp.datasets.images import Pixels

__all__ = ["DeadLeavesPhoto", "dead_leaves"]

_Field = NDArray[np.float32]

_MIN_RADIUS = (3.0, 24.0)  # pixels; drawn per picture, so that some are busy and some are calm
_LAYERS = 5.0  # mean number of leaves over a pixel: e⁻⁵ of the ground stays visible

# Colours: mean and standard deviation along grey, blue-yellow and green-magenta axes, measured on
# 8-bit RGB pixels of 300 photos (ImageNet and BSDS500).
_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]] / np.sqrt([[3], [2], [6]]), dtype=np.float32)
_COLOUR_MEAN = np.array([198.0, 13.0, -4.0], dtype=np.float32)
_COLOUR_SD = np.array([112.0, 35.0, 16.0], dtype=np.float32)


@dataclass(frozen=True)
class DeadLeavesPhoto:
    """One generated picture of ``side`` by ``side`` pixels; the seed decides every pixel."""

    seed: int
    side: int = 512

    @property
    def name(self) -> str:
        return f"dead-leaves-{self.seed}"

    @property
    def short_side(self) -> int:
        return self.side

    def decode(self) -> Pixels:
        return dead_leaves(self.side, np.random.default_rng([self.seed, self.side]))


def dead_leaves(side: int, rng: np.random.Generator) -> Pixels:
    """A (side, side, 3) picture: leaves painted back to front, half of them textured."""
    min_radius, max_radius = float(np.exp(rng.uniform(*np.log(_MIN_RADIUS)))), side / 2
    # Inverse CDF of a density ∝ r⁻³ on [min, max].
    low, high = min_radius**-2, max_radius**-2
    mean_area = 2 * np.pi * np.log(max_radius / min_radius) / (low - high)
    count = int(_LAYERS * (side + 2 * min_radius) ** 2 / mean_area)
    radii = (low - rng.random(count) * (low - high)) ** -0.5
    # Centres beyond the edge too, so that leaves cover the border as densely as the middle.
    reach = radii[:, None]
    centres = rng.random((count, 2)) * (side + 2 * reach) - reach  # (count, 2)
    inside = ((centres > -reach) & (centres < side + reach)).all(1)
    radii, centres = radii[inside], centres[inside]
    saturation = rng.uniform(0.3, 1.0)
    colours = _colours(len(radii), saturation, rng)
    textured = rng.random(len(radii)) < 0.5
    contrast = rng.gamma(1.0, 12.0, len(radii)).astype(np.float32)  # grey levels of texture
    slopes = rng.normal(0.0, 25.0, (len(radii), 2)).astype(np.float32)  # grey levels per radius
    texture = _pink_noise(side, rng)  # (side, side)

    canvas = np.empty((side, side, 3), dtype=np.float32)
    canvas[:] = _colours(1, saturation, rng)[0]
    axis = np.arange(side, dtype=np.float32) + 0.5
    for (cy, cx), radius, colour, is_textured, amplitude, slope in zip(
        centres, radii, colours, textured, contrast, slopes, strict=True
    ):
        top, bottom = max(0, int(cy - radius)), min(side, int(cy + radius) + 2)
        left, right = max(0, int(cx - radius)), min(side, int(cx + radius) + 2)
        if top >= bottom or left >= right:
            continue
        dy, dx = axis[top:bottom] - np.float32(cy), axis[left:right] - np.float32(cx)
        distance = np.sqrt(dy[:, None] ** 2 + dx[None, :] ** 2)
        cover = np.clip(np.float32(radius) + 0.5 - distance, 0, 1)[:, :, None]  # soft 1-pixel edge
        leaf = colour
        if is_textured:
            shade = (dy[:, None] * slope[0] + dx[None, :] * slope[1]) / np.float32(radius)
            shade += amplitude * texture[: bottom - top, : right - left]
            leaf = colour + shade[:, :, None]
        region = canvas[top:bottom, left:right]
        region += cover * (leaf - region)
    pixels = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    # Lenses blur; perfectly sharp edges everywhere would be the odd one out among photos.
    blur = ImageFilter.GaussianBlur(float(rng.uniform(0.0, 1.0)))
    return np.array(Image.fromarray(pixels).filter(blur))


def _colours(count: int, saturation: float, rng: np.random.Generator) -> _Field:
    """(count, 3) RGB colours from 0 to 255 with the spread of photographs."""
    grey = rng.uniform(-np.sqrt(3), np.sqrt(3), (count, 1))  # photos' grey is flatter than normal
    chroma = rng.laplace(0.0, saturation * np.sqrt(0.5), (count, 2))  # their chroma more peaked
    opponent = _COLOUR_MEAN + _COLOUR_SD * np.concatenate([grey, chroma], 1)
    colours: _Field = np.clip(opponent @ _AXES, 0, 255).astype(np.float32)
    return colours


def _pink_noise(side: int, rng: np.random.Generator) -> _Field:
    """A (side, side) field of unit variance with amplitude spectrum ∝ 1/f."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(rng.normal(size=(side, side))) / frequency
    field = np.fft.irfft2(spectrum, s=(side, side))
    noise: _Field = (field / field.std()).astype(np.float32)
    return noise
