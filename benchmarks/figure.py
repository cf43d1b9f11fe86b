"""The same photo at the same size in bytes from several codecs, cropped, in one picture.

    python benchmarks/figure.py PHOTO.png --bpp 0.12 --box 300 180 240 180 --out figure.png

Shipped models code to at most the wanted size; a conventional codec takes its smallest file of at
least that size, so rounding to its settings is in its favour (or its smallest file of all, where
even that is larger). All figures are of the whole photo and of the file's every byte.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import tngexp
from tngexp.anchors import Anchor, anchor
from tngexp.bitstream.targets import compress_to
from tngexp.datasets.images import decode
from tngexp.metrics import ms_ssim, psnr
from tngexp.types import TngexpError

LABELS = {
    "tng-objective": "TNG objective",
    "tng-subjective": "TNG subjective",
    "tng-mixed": "TNG mixed",
    "tng-objective-1": "TNG objective, earlier",
}
CAPTION, GAP, COLUMNS = 44, 8, 4


class Version(NamedTuple):
    label: str
    size: int | None  # bytes of the file; None for the original
    pixels: np.ndarray  # (H, W, 3) uint8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--bpp", type=float, default=0.12)
    parser.add_argument("--box", type=int, nargs=4, metavar=("X", "Y", "W", "H"), required=True)
    parser.add_argument("--anchors", nargs="*", default=["jpeg", "webp", "bpg", "avif"])
    parser.add_argument("--models", nargs="*", default=["tng-objective", "tng-subjective"])
    parser.add_argument("--looks", type=float, nargs="*", default=[0.0])
    parser.add_argument("--look-from", help="for models that ship without a look")
    parser.add_argument("--strip", action="store_true", help="leave out the whole photo")
    parser.add_argument("--zoom", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    original = decode(arguments.photo)
    photo = Image.fromarray(original)
    versions = [Version("Original", None, original)]
    for name in arguments.anchors:
        codec = anchor(name)
        if (reason := codec.missing()) is not None:
            print(f"left out: {reason}")
            continue
        data = at_least(codec, original, arguments.bpp)
        versions.append(Version(codec.label, len(data), codec.decode(data)))
    for name in arguments.models:
        model = tngexp.load(name, look=arguments.look_from)
        data = compress_to(model, photo, "bpp", arguments.bpp)
        for look in arguments.looks:
            pixels = np.asarray(model.decompress(data, look=look).convert("RGB"))
            label = LABELS.get(name, Path(name).stem)
            if len(arguments.looks) > 1:
                label = f"{label}, look {look:g}"
            versions.append(Version(label, len(data), pixels))
    for version in versions[1:]:
        print(f"{version.label:24s} {caption(version, original)}")
    page = sheet(versions, original, tuple(arguments.box), arguments.zoom, arguments.strip)
    page.save(arguments.out, optimize=True)


def at_least(codec: Anchor, rgb: np.ndarray, bpp: float) -> bytes:
    """The smallest file of at least ``bpp``, by bisection over the codec's settings."""
    target = bpp * rgb.shape[0] * rgb.shape[1] / 8
    parameter = codec.parameter
    small, large = parameter.lowest, parameter.highest
    if parameter.settings[0] > parameter.settings[-1]:  # listed by rising rate
        small, large = large, small
    best = codec.encode(rgb, large)
    smallest = codec.encode(rgb, small)
    if len(smallest) >= target:
        return smallest
    step = 1.0 if parameter.whole else 0.05
    while abs(large - small) > step:
        middle = (large + small) / 2
        middle = float(int(middle)) if parameter.whole else middle
        data = codec.encode(rgb, middle)
        if len(data) >= target:
            large, best = middle, data
        else:
            small = middle
    return best


def caption(version: Version, original: np.ndarray) -> str:
    x, y = (
        torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255
        for pixels in (original, version.pixels)
    )
    return f"{version.size} bytes · {float(psnr(x, y)):.1f} dB · MS-SSIM {float(ms_ssim(x, y)):.3f}"


def sheet(
    versions: list[Version],
    original: np.ndarray,
    box: tuple[int, ...],
    zoom: int,
    strip: bool = False,
) -> Image.Image:
    left, top, width, height = box
    size = (width * zoom, height * zoom)
    tiles = []
    for version in versions:
        crop = Image.fromarray(version.pixels).crop((left, top, left + width, top + height))
        label = version.label
        detail = f"{original.shape[1]} by {original.shape[0]} pixels, cropped"
        if version.size is not None:
            detail = caption(version, original)
        tiles.append((crop.resize(size, Image.Resampling.NEAREST), label, detail))
    if not strip:
        whole = Image.fromarray(original)
        ImageDraw.Draw(whole).rectangle(
            (left - 2, top - 2, left + width + 1, top + height + 1), outline="white", width=3
        )
        whole.thumbnail(size, Image.Resampling.LANCZOS)
        frame = Image.new("RGB", size, "white")
        frame.paste(whole, ((size[0] - whole.width) // 2, (size[1] - whole.height) // 2))
        tiles.insert(0, (frame, "The photo", "the frame is what the others show"))
    rows = -(-len(tiles) // COLUMNS)
    page = Image.new(
        "RGB",
        (COLUMNS * (size[0] + GAP) - GAP, rows * (size[1] + CAPTION + GAP) - GAP),
        "white",
    )
    draw = ImageDraw.Draw(page)
    bold, plain = ImageFont.load_default(20), ImageFont.load_default(15)
    for index, (tile, label, detail) in enumerate(tiles):
        x = index % COLUMNS * (size[0] + GAP)
        y = index // COLUMNS * (size[1] + CAPTION + GAP)
        draw.text((x + 2, y), label, fill="black", font=bold)
        draw.text((x + 2, y + 24), detail, fill="#444", font=plain)
        page.paste(tile, (x, y + CAPTION))
    return page


if __name__ == "__main__":
    try:
        main()
    except TngexpError as error:  # such as a rate that a model cannot reach
        raise SystemExit(f"error: {error}") from None
