"""PSNR and MS-SSIM against scikit-image and pytorch-msssim."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_msssim import ms_ssim as reference_ms_ssim
from skimage.metrics import peak_signal_noise_ratio

from tngexp.metrics import ms_ssim, ms_ssim_db, psnr, round_to_8_bit


def pair(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(2, 3, side, side + 16)
    return x, x + 0.1 * torch.randn_like(x)


def test_psnr_is_per_image_and_on_8_bit_values() -> None:
    x, x_hat = pair(24)
    as_bytes = [(round_to_8_bit(v) * 255).round().byte().numpy() for v in (x, x_hat)]
    expected = [
        peak_signal_noise_ratio(*images, data_range=255) for images in zip(*as_bytes, strict=True)
    ]
    torch.testing.assert_close(
        psnr(x, x_hat), torch.tensor(expected), check_dtype=False, rtol=1e-5, atol=1e-4
    )


def test_psnr_of_identical_images_is_infinite() -> None:
    x = round_to_8_bit(pair(16)[0])
    assert torch.isinf(psnr(x, x + 1e-3)).all()  # a quarter of a grey level rounds away


def test_ms_ssim_agrees_with_pytorch_msssim() -> None:
    x, x_hat = pair(176)
    expected = reference_ms_ssim(
        round_to_8_bit(x), round_to_8_bit(x_hat), data_range=1.0, size_average=False
    )
    torch.testing.assert_close(ms_ssim(x, x_hat), expected, atol=1e-4, rtol=0)


def test_ms_ssim_of_small_images_is_not_measurable() -> None:
    x, x_hat = pair(175)
    assert torch.isnan(ms_ssim(x, x_hat)).all()


def test_ms_ssim_in_decibels() -> None:
    assert ms_ssim_db(torch.tensor(0.99)).item() == pytest.approx(20, abs=1e-3)
    assert math.isinf(ms_ssim_db(torch.tensor(1.0)).item())
