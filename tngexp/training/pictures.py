"""The picture of a run: original | reconstruction | error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from tngexp.training.base import LitModel
from tngexp.training.validation import ImageResult

__all__ = ["ERROR_GAIN", "comparison_row", "comparison_sheet", "run_picture"]

ERROR_GAIN = 4
"""The error panel shows mid-grey + gain · (x̂ − x)."""

_CAPTION = 16  # pixels
_GAP = 4
_ROWS = 4


def comparison_row(result: ImageResult) -> Image.Image:
    """Original, reconstruction and amplified error of one image side by side, with a caption."""
    x, x_hat = result.x, result.x_hat.to(result.x)
    error = (0.5 + ERROR_GAIN * (x_hat - x)).clamp(0, 1)
    height, width = x.shape[-2:]
    row = Image.new("RGB", (3 * width + 2 * _GAP, height + _CAPTION), "white")
    similarity = "" if math.isnan(result.ms_ssim) else f"  MS-SSIM {result.ms_ssim:.4f}"
    captions = (
        "original",
        f"{result.bpp:.3f} bpp  {result.psnr_db:.2f} dB{similarity}",
        f"error x{ERROR_GAIN}",
    )
    draw = ImageDraw.Draw(row)
    for column, (panel, caption) in enumerate(zip((x, x_hat, error), captions, strict=True)):
        left = column * (width + _GAP)
        draw.text((left + 2, 2), caption, fill="black")
        row.paste(Image.fromarray(_to_array(panel)), (left, _CAPTION))
    return row


def comparison_sheet(rows: Sequence[Image.Image]) -> Image.Image:
    """Rows stacked into one picture."""
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def run_picture(lit: LitModel, photos: Iterable[Tensor], best: Path, run_dir: Path) -> Path | None:
    """Write the picture of a run: up to four validation images as ``best`` sees them.

    Args:
        lit: takes the weights of ``best``.
        photos: batches of images (B, 3, H, W).
        best: a checkpoint.
        run_dir: where the picture goes.

    Returns:
        The file; None without a checkpoint or photos.
    """
    if not best.exists():
        return None
    rows: list[Image.Image] = []
    with torch.no_grad():
        for batch in photos:
            if not rows:
                lit.take_weights(best)
                lit.eval()
            results = lit.validation_step(batch.to(lit.device), 0)
            rows.append(comparison_row(results[len(results) // 2]))
            if len(rows) == _ROWS:
                break
    if not rows:
        return None
    path = run_dir / "reconstructions.png"
    comparison_sheet(rows).save(path)
    return path


def _to_array(image: Tensor) -> NDArray[np.uint8]:
    scaled = (image.detach().float().cpu().clamp(0, 1) * 255).round()
    return scaled.permute(1, 2, 0).numpy().astype(np.uint8)
