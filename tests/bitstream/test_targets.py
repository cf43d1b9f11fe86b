"""The file asked for by size or fidelity is the best one there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from support import photo

from tngexp.bitstream import ImageCodec
from tngexp.bitstream.targets import compress_to
from tngexp.metrics import ms_ssim, psnr
from tngexp.model.codec import Codec
from tngexp.types import ConfigError, TngexpError


@pytest.fixture
def codec(make_codec: Callable[..., Codec]) -> ImageCodec:
    codec = make_codec(rate="variable")
    with torch.no_grad():  # latents of an untrained codec are all zero otherwise
        convs = [m for m in codec.transform.analysis.modules() if isinstance(m, torch.nn.Conv2d)]
        convs[-1].weight.mul_(100)
    return ImageCodec(codec).eval()


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def test_the_best_file_within_a_size(codec: ImageCodec) -> None:
    image = photo(60, 44)
    files = [codec.compress(image, index / 255) for index in range(256)]
    sizes = [len(file) for file in files]
    limit = (min(sizes) + max(sizes)) // 2
    data = compress_to(codec, image, "bpp", 8 * limit / (60 * 44))
    quality = files.index(data)
    assert sizes[quality] <= limit < sizes[quality + 1]
    assert compress_to(codec, image, "bpp", 1e6) == files[-1]


SIDE = 176  # the smallest on which MS-SSIM is defined
LAST = 255  # quality index of the best file


def file(index: int) -> bytes:
    """What the codec below makes of quality ``index`` / 255: the better, the larger."""
    return bytes([index]) * (100 + 3 * index)


def decoded(data: bytes) -> Image.Image:
    """The photo with noise that falls with the index of ``data``, never to nothing."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (SIDE, SIDE, 3)) * (300 - data[0]) / 4
    return Image.fromarray((np.asarray(photo(SIDE, SIDE)) + noise).clip(0, 255).astype(np.uint8))


def measured(target: str, index: int) -> float:
    if target == "bpp":
        return 8 * len(file(index)) / SIDE**2
    metric = psnr if target == "psnr" else ms_ssim
    return float(metric(tensor(photo(SIDE, SIDE)), tensor(decoded(file(index)))))


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces what codecs code by something quick that surely gets better with the quality.

    Holds the index of each coding.
    """
    indices: list[int] = []

    def compress(
        self: ImageCodec, image: Image.Image, quality: float, progress: object = None
    ) -> bytes:
        indices.append(round(quality * LAST))
        return file(indices[-1])

    monkeypatch.setattr(ImageCodec, "compress", compress)
    monkeypatch.setattr(ImageCodec, "decompress", lambda self, data: decoded(data))
    return indices


@pytest.mark.parametrize("target", ["psnr", "ms_ssim"])
@pytest.mark.parametrize("index", [1, 2, 100, 127, 128, 254, 255])
def test_the_smallest_file_that_is_good_enough(
    codec: ImageCodec, coded: list[int], target: Literal["psnr", "ms_ssim"], index: int
) -> None:
    worse, enough = measured(target, index - 1), measured(target, index)
    assert worse < enough
    image = photo(SIDE, SIDE)
    assert compress_to(codec, image, target, (worse + enough) / 2) == file(index)
    assert compress_to(codec, image, target, enough) == file(index)


@pytest.mark.parametrize("index", [0, 1, 100, 127, 128, 253, 254])
def test_the_largest_file_that_fits(codec: ImageCodec, coded: list[int], index: int) -> None:
    fits, larger = measured("bpp", index), measured("bpp", index + 1)
    image = photo(SIDE, SIDE)
    assert compress_to(codec, image, "bpp", (fits + larger) / 2) == file(index)
    assert compress_to(codec, image, "bpp", fits) == file(index)


def test_targets_beyond_the_ends(codec: ImageCodec, coded: list[int]) -> None:
    image = photo(SIDE, SIDE)
    assert compress_to(codec, image, "bpp", 100) == file(LAST)
    assert compress_to(codec, image, "psnr", 1) == file(0)
    assert compress_to(codec, image, "ms_ssim", 0.001) == file(0)


def test_ten_codings_at_most(codec: ImageCodec, coded: list[int]) -> None:
    counts = []
    for index in range(0, LAST):
        coded.clear()
        compress_to(codec, photo(SIDE, SIDE), "bpp", measured("bpp", index))
        counts.append(len(coded))
    assert max(counts) == 10


def noisy(image: Image.Image, index: int, hidden: int = 0) -> Image.Image:
    """``image`` with noise that falls with ``index``, and with noise where alpha is 0."""
    rng = np.random.default_rng(0)
    pixels = np.array(image).astype(float)
    error = rng.uniform(-1, 1, pixels.shape) * (300 - index) / 8
    if image.mode == "RGBA":
        error[np.array(image)[..., 3] == 0] = hidden
        error[..., 3] = 0
    return Image.fromarray((pixels + error).clip(0, 255).astype(np.uint8), image.mode)


def returns(monkeypatch: pytest.MonkeyPatch, image: Image.Image, hidden: int = 0) -> None:
    monkeypatch.setattr(
        ImageCodec, "compress", lambda self, _, quality, **__: file(round(quality * LAST))
    )
    monkeypatch.setattr(ImageCodec, "decompress", lambda self, data: noisy(image, data[0], hidden))


@pytest.mark.parametrize("target", ["psnr", "ms_ssim"])
def test_deep_originals_are_measured_as_they_are_coded(
    codec: ImageCodec, monkeypatch: pytest.MonkeyPatch, target: Literal["psnr", "ms_ssim"]
) -> None:
    grey = photo(SIDE, SIDE).convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    returns(monkeypatch, grey)
    metric = psnr if target == "psnr" else ms_ssim
    value = float(metric(tensor(grey.convert("RGB")), tensor(noisy(grey, 90).convert("RGB"))))
    for original in (deep, np.asarray(deep)) if target == "psnr" else (deep,):
        assert compress_to(codec, original, target, value - 1e-6) == file(90)


def test_only_what_is_seen_is_measured(codec: ImageCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(SIDE, SIDE)
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[40:160, 40:120] = 255
    image.putalpha(Image.fromarray(alpha))
    seen = alpha > 0
    error = np.asarray(noisy(image, 90))[seen].astype(float) - np.asarray(image)[seen]
    value = float(10 * np.log10(255**2 / np.square(error[:, :3]).mean()))
    files = set()
    for hidden in (0, 100):
        returns(monkeypatch, image, hidden)
        assert compress_to(codec, image, "psnr", value - 1e-4) == file(90)
        assert len(compress_to(codec, image, "psnr", value + 0.02)) > len(file(90))
        files.add(compress_to(codec, image, "ms_ssim", 0.99))
    assert len(files) == 1
    with pytest.raises(TngexpError, match="cannot reach"):
        compress_to(codec, image, "psnr", value, exact=True)


def test_where_nothing_is_seen_anything_will_do(codec: ImageCodec) -> None:
    image = photo(30, 20)
    image.putalpha(0)
    assert compress_to(codec, image, "psnr", 80) == codec.compress(image, 0)


@pytest.mark.parametrize("target", ["PSNR", "msssim", ""])
def test_a_target_is_one_of_three(codec: ImageCodec, target: str) -> None:
    with pytest.raises(ConfigError, match=f"one of bpp, psnr, ms_ssim, not '{target}'"):
        compress_to(codec, photo(SIDE, SIDE), target, 0.9)  # type: ignore[arg-type]


def test_what_cannot_be_reached_is_an_error(
    codec: ImageCodec, make_codec: Callable[..., Codec]
) -> None:
    with pytest.raises(TngexpError, match=r"cannot reach 0.0001 bpp.*smallest"):
        compress_to(codec, photo(60, 44), "bpp", 1e-4)
    with pytest.raises(TngexpError, match=r"cannot reach 99 dB PSNR.*best"):
        compress_to(codec, photo(60, 44), "psnr", 99)
    with pytest.raises(ConfigError, match="60×44"):
        compress_to(codec, photo(60, 44), "ms_ssim", 0.9)
    with pytest.raises(ConfigError, match="variable-rate"):
        compress_to(ImageCodec(make_codec()).eval(), photo(60, 44), "bpp", 1)
