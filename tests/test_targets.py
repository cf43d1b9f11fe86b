"""The file asked for by size or fidelity is the best one there is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from support import photo

from tngexp.codec import Codec
from tngexp.metrics import psnr
from tngexp.targets import compress_to
from tngexp.types import ConfigError, TngexpError


@pytest.fixture
def codec(make_codec: Callable[..., Codec]) -> Codec:
    codec = make_codec(rate="variable").eval()
    with torch.no_grad():  # latents of an untrained codec are all zero otherwise
        convs = [m for m in codec.transform.analysis.modules() if isinstance(m, torch.nn.Conv2d)]
        convs[-1].weight.mul_(100)
    return codec


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def test_the_best_file_within_a_size(codec: Codec) -> None:
    image = photo(60, 44)
    files = [codec.compress(image, index / 255) for index in range(256)]
    sizes = [len(file) for file in files]
    limit = (min(sizes) + max(sizes)) // 2
    data = compress_to(codec, image, "bpp", 8 * limit / (60 * 44))
    quality = files.index(data)
    assert sizes[quality] <= limit < sizes[quality + 1]
    assert compress_to(codec, image, "bpp", 1e6) == files[-1]


def test_the_smallest_file_that_is_good_enough(codec: Codec) -> None:
    image = photo(60, 44)

    def quality_of(data: bytes) -> float:
        return float(psnr(tensor(image), tensor(codec.decompress(data))))

    low, high = (quality_of(codec.compress(image, q)) for q in (0.0, 1.0))
    wanted = (low + high) / 2
    if low >= high:
        pytest.skip("this untrained codec gets no better with quality")
    assert quality_of(compress_to(codec, image, "psnr", wanted)) >= wanted


def test_what_cannot_be_reached_is_an_error(codec: Codec, make_codec: Callable[..., Codec]) -> None:
    with pytest.raises(TngexpError, match=r"cannot reach 0.0001 bpp.*smallest"):
        compress_to(codec, photo(60, 44), "bpp", 1e-4)
    with pytest.raises(TngexpError, match=r"cannot reach 99 dB PSNR.*best"):
        compress_to(codec, photo(60, 44), "psnr", 99)
    with pytest.raises(ConfigError, match="60×44"):
        compress_to(codec, photo(60, 44), "ms_ssim", 0.9)
    with pytest.raises(ConfigError, match="variable-rate"):
        compress_to(make_codec().eval(), photo(60, 44), "bpp", 1)
