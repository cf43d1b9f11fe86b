"""Windows over large images give what the whole image would have given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from support import options, photo

from tngexp.bitstream import streaming
from tngexp.bitstream.coder import ImageCoder
from tngexp.codec import Codec


@pytest.mark.parametrize("encoder", options("encoder"))
@torch.no_grad()
def test_windows_leave_no_seam(
    encoder: str, make_codec: Callable[..., Codec], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = make_codec(encoder=encoder, **{"encoder.N": 4, "encoder.M": 4}).eval()
    width, height = 850, 40
    rgb = torch.from_numpy(np.array(photo(width, height))).permute(2, 0, 1)
    whole = codec.transform.analysis(codec._pad(rgb[None].float() / 255))
    monkeypatch.setattr(streaming, "_WINDOW", 8)
    y = streaming.analyse(codec.transform, codec.rate, rgb, codec.stride, None)
    torch.testing.assert_close(y, whole, atol=1e-4, rtol=1e-4)
    expected = codec.transform.synthesis(whole)[0, :, :height, :width]
    pixels = streaming.synthesise(codec.transform, codec.rate, y, height, width, None)
    difference = pixels.float() - (expected.clamp(0, 1) * 255).round()
    assert difference.abs().max() <= 1  # a rounding on the fence, not a seam
    assert (difference != 0).float().mean() < 1e-3


@torch.no_grad()
def test_tiles_of_the_prior_round_trip(
    make_codec: Callable[..., Codec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tngexp.bitstream.coder._TILE", 8)
    codec = make_codec(prior="context").eval()
    image = photo(300, 200)
    coder = ImageCoder(codec, None)
    data = coder.compress(image, None)
    from tngexp.coding import read

    assert len(read(data).streams) == 2 * 3
    assert coder.decompress(data).size == image.size
