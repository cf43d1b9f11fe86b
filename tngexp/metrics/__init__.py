"""What a reconstruction is worth (PSNR, MS-SSIM), and how codecs compare (BD-rate)."""

from __future__ import annotations

from tngexp.metrics.bd import BDRate, bd_rate, rate_at
from tngexp.metrics.comparison import bits_at_equal_quality, curve_bd_rate, per_image_bd_rate
from tngexp.metrics.images import (
    check_ms_ssim_side,
    ms_ssim,
    ms_ssim_db,
    psnr,
    round_to_8_bit,
)
from tngexp.metrics.pareto import pareto

__all__ = [
    "BDRate",
    "bd_rate",
    "bits_at_equal_quality",
    "check_ms_ssim_side",
    "curve_bd_rate",
    "ms_ssim",
    "ms_ssim_db",
    "pareto",
    "per_image_bd_rate",
    "psnr",
    "rate_at",
    "round_to_8_bit",
]
