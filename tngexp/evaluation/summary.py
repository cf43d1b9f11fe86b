"""The table that an evaluation prints."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from tngexp.metrics.curves import to_db

__all__ = ["records_table"]


def records_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """Means over images of each model and quality.

    Narrow enough for 80 columns: checkpoints are numbered and named below.
    """
    rows: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for record in records:
        name = str(record["checkpoint"])
        if record.get("effort"):
            name += f", effort {record['effort']}"
            name += f" for {record['tune']}" if record["tune"] else ""
        rows.setdefault((name, record["quality"]), []).append(record)
    numbers = {name: n for n, name in enumerate(dict.fromkeys(c for c, _ in rows), start=1)}
    table = Table(
        title="real files, header included; means over images",
        # As text: a name in brackets would be taken for formatting.
        caption=Text("\n".join(f"{n}: {name}" for name, n in numbers.items())),
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in ("#", "quality", "images", "bpp", "vs. est.", "PSNR", "MS-SSIM", "in dB"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("enc s", "dec s", "MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    for (checkpoint, quality), group in rows.items():
        estimate = sum(r["estimated_bpp"] * r["width"] * r["height"] for r in group) / 8
        size = sum(r["bytes"] for r in group)
        similarity = _mean(group, "ms_ssim")
        decibels = None if similarity is None else to_db(similarity)
        peaks = [r["peak_memory_mib"] for r in group if r["peak_memory_mib"] is not None]
        table.add_row(
            str(numbers[checkpoint]),
            "–" if quality is None else f"{quality:g}",
            str(len(group)),
            _shown(_mean(group, "bpp"), 4),
            f"{size / estimate - 1:+.2%}",
            _shown(_mean(group, "psnr_db"), 2),
            _shown(similarity, 4),
            _shown(decibels, 2),
            _shown(_mean(group, "encode_s"), 2),
            _shown(_mean(group, "decode_s"), 2),
            _shown(max(peaks, default=None), 0),
        )
    return table


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Mean over the images that could be measured; None when there is none."""
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.fmean(values) if values else None


def _shown(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
