"""What a reconstruction is worth: PSNR and MS-SSIM with the field's conventions."""

from __future__ import annotations

from tngexp.metrics.images import ms_ssim, ms_ssim_db, psnr, round_to_8_bit

__all__ = ["ms_ssim", "ms_ssim_db", "psnr", "round_to_8_bit"]
