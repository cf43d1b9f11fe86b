"""Windows over large images give what the whole image would have given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from bitstream.toys import UNIT, Toy, WholeImage, holes
from support import options, photo
from torch import nn

from tngexp.bitstream import ImageCodec, streaming
from tngexp.bitstream.streaming import analyse, synthesise
from tngexp.model.codec import Codec
from tngexp.rate.fixed import FixedRate
from tngexp.types import ConfigError, Transform


@pytest.mark.parametrize("encoder", options("encoder"))
@torch.no_grad()
def test_windows_leave_no_seam(
    encoder: str, make_codec: Callable[..., Codec], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = make_codec(encoder=encoder, **{"encoder.N": 4, "encoder.M": 4}).eval()
    width, height = 850, 40
    rgb = torch.from_numpy(np.array(photo(width, height))).permute(2, 0, 1)
    whole = codec.transform.analysis(codec._pad(rgb[None].float() / 255))
    monkeypatch.setattr(streaming, "_SIDE", 16)
    monkeypatch.setattr(streaming, "_contributed", lambda halo: 8)
    y = streaming.analyse(codec.transform, codec.rate, rgb, codec.stride, None)
    torch.testing.assert_close(y, whole, atol=1e-5, rtol=1e-5)
    expected = codec.transform.synthesis(whole)[0, :, :height, :width]
    pixels = streaming.synthesise(codec.transform, codec.rate, y, height, width, None)
    difference = pixels.float() - (expected.clamp(0, 1) * 255).round()
    assert difference.abs().max() <= 1  # a rounding on the fence, not a seam
    assert (difference != 0).float().mean() < 1e-3


@torch.no_grad()
def _largest_steps(transform: Transform, size: tuple[int, int]) -> tuple[float, int]:
    """By how much windows change the latent, relative to its largest value, and the pixels."""
    rgb = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    rate, unit = FixedRate(), transform.stride
    whole = transform.analysis(rgb[None].float() / 255)
    y = analyse(transform, rate, rgb, unit, None)
    expected = transform.synthesis(whole)[0].clamp(0, 1).mul(255).round()
    pixels = synthesise(transform, rate, whole, *size, None).float()
    return (
        float((y - whole).abs().max() / whole.abs().max()),
        int((pixels - expected).abs().max()),
    )


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("distance", [1, 12, 13, 25])
def test_windows_follow_the_reach(distance: int, declared: bool) -> None:
    toy = Toy(holes(distance), holes(distance))
    if declared:
        toy.reach = distance
    latent, pixels = _largest_steps(toy, (180 * UNIT, 130 * UNIT))
    assert latent < 1e-6
    assert pixels <= 1  # a rounding on the fence
    assert toy.reach == distance  # measured once


@pytest.mark.parametrize(("distance", "margin"), [(1, 0), (13, 12), (25, 12)])
def test_a_smaller_margin_leaves_seams(distance: int, margin: int) -> None:
    """The test above would see a margin that is too small, as 12 positions for all were."""
    toy = Toy(holes(distance), holes(distance))
    toy.reach = margin
    latent, pixels = _largest_steps(toy, (180 * UNIT, 130 * UNIT))
    assert latent > 1e-2
    assert pixels > 1


@torch.no_grad()
def test_windows_of_nothing_but_padding() -> None:
    """With a small margin the last windows may lie beyond the image."""
    toy = Toy(holes(1), holes(1))
    height, width, padded = 65 * UNIT - 1, 66 * UNIT + 1, 128 * UNIT
    rgb = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    x = nn.functional.pad(
        rgb[None].float() / 255, (0, padded - width, 0, padded - height), mode="replicate"
    )
    y = analyse(toy, FixedRate(), rgb, padded, None)
    whole = toy.analysis(x)
    torch.testing.assert_close(y, whole, atol=1e-6, rtol=1e-6)
    expected = toy.synthesis(whole)[0, :, :height, :width].clamp(0, 1).mul(255).round()
    pixels = synthesise(toy, FixedRate(), whole, height, width, None)
    assert (pixels - expected).abs().max() <= 1


def test_what_sees_everything_codes_images_of_one_window() -> None:
    toy = Toy(WholeImage(), WholeImage())
    largest = 120 * UNIT
    latent, pixels = _largest_steps(toy, (largest, largest))
    assert latent < 1e-6
    assert pixels <= 1
    message = (
        rf"^Toy: .*sees more than 64 .*above {largest} pixels a side .*set `reach` in its __init__ "
        ".*or code smaller images$"
    )
    image = torch.zeros(3, 8, largest + 1, dtype=torch.uint8)
    with pytest.raises(ConfigError, match=message):
        analyse(toy, FixedRate(), image, UNIT, None)
    with pytest.raises(ConfigError, match=message):
        synthesise(toy, FixedRate(), torch.zeros(1, 3, 2, 121), 8, largest + 1, None)


def test_only_windows_need_a_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(transform: Transform) -> int:
        calls.append(transform)
        return 0

    calls: list[Transform] = []
    monkeypatch.setattr(streaming, "measure_reach", measured)
    toy = Toy()
    _largest_steps(toy, (120 * UNIT, UNIT))
    assert toy.reach is None
    _largest_steps(toy, (121 * UNIT, UNIT))
    assert calls == [toy]


@pytest.mark.parametrize("wrong", [-1, 2.0, "3", True])
def test_a_wrong_declaration_is_named(wrong: int) -> None:
    toy = Toy()
    toy.reach = wrong
    with pytest.raises(ConfigError, match="Toy: `reach` must be a whole number"):
        _largest_steps(toy, (121 * UNIT, UNIT))


@pytest.mark.parametrize("halo", [0, 1, 3, 11, 12, 13, 20, 21, 64])
def test_windows_cover_a_latent_and_bound_the_work(halo: int) -> None:
    for length in (1, 119, 120, 121, 240, 241, 1000):
        spans = streaming._spans(length, halo)
        assert [i for span in spans for i in range(span.start, span.stop)] == list(range(length))
        for start, stop, first, last in spans:
            assert first == (max(start - halo, 0) if len(spans) > 1 else 0)
            assert last == (min(stop + halo, length) if len(spans) > 1 else length)
            assert last - first <= max(120, 6 * halo)
        assert sum(span.last - span.first for span in spans) <= 1.5 * length


@torch.no_grad()
def test_tiles_of_the_prior_round_trip(
    make_codec: Callable[..., Codec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tngexp.bitstream.analysis._TILE", 8)
    codec = make_codec(prior="context").eval()
    image = photo(300, 200)
    coder = ImageCodec(codec).eval()
    data = coder.compress(image)
    from tngexp.coding import read

    assert len(read(data).streams) == 2 * 3
    assert coder.decompress(data).size == image.size
