"""The table that an evaluation prints."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from tngexp.metrics.curves import to_db
from tngexp.metrics.records import ImageRecord, Measurement

__all__ = ["records_table"]


def records_table(records: Sequence[ImageRecord]) -> Table:
    """Means over images of each model and quality.

    Narrow enough for 80 columns: checkpoints are numbered and named below.
    """
    rows: dict[tuple[str, float | None], list[Measurement]] = {}
    for record in records:
        name = record.checkpoint or ""
        if record.effort:
            name += f", effort {record.effort}" + (f" for {record.tune}" if record.tune else "")
        if record.look:
            name += f", look {record.look:g}"
        rows.setdefault((name, record.quality), []).append(record.measured)
    numbers = {name: n for n, name in enumerate(dict.fromkeys(c for c, _ in rows), start=1)}
    lines = [f"{n}: {name}" for name, n in numbers.items()]
    partial = [_few(group, name) for group in rows.values() for name in ("psnr_db", "ms_ssim")]
    if any(partial):
        lines.append("*: of fewer images; others are too small, or came back exactly")
    table = Table(
        title="real files, header included; means over images",
        # As text: a name in brackets would be taken for formatting.
        caption=Text("\n".join(lines)),
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
        similarity = _mean(m.ms_ssim for m in group)
        decibels = None if similarity is None else to_db(similarity)
        peaks = [m.peak_memory_mib for m in group if m.peak_memory_mib is not None]
        table.add_row(
            str(numbers[checkpoint]),
            "–" if quality is None else f"{quality:g}",
            str(len(group)),
            _shown(_mean(m.bpp for m in group), 4),
            _excess(group),
            _shown(_mean(m.psnr_db for m in group), 2) + _few(group, "psnr_db"),
            _shown(similarity, 4) + _few(group, "ms_ssim"),
            _shown(decibels, 2),
            _shown(_mean(m.encode_s for m in group), 2),
            _shown(_mean(m.decode_s for m in group), 2),
            _shown(max(peaks, default=None), 0),
        )
    return table


def _excess(group: Sequence[Measurement]) -> str:
    """By how much the files are larger than the model's own estimate."""
    estimates = [m.estimated_bpp * m.width * m.height for m in group if m.estimated_bpp is not None]
    if len(estimates) < len(group):
        return "n/a"
    return f"{8 * sum(m.bytes for m in group) / sum(estimates) - 1:+.2%}"


def _few(group: Sequence[Measurement], name: str) -> str:
    """A mark for a mean of some of the images."""
    known = sum(getattr(measured, name) is not None for measured in group)
    return "*" if 0 < known < len(group) else ""


def _mean(figures: Iterable[float | None]) -> float | None:
    """Mean over the images that could be measured; None when there is none."""
    values = [value for value in figures if value is not None]
    return statistics.fmean(values) if values else None


def _shown(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
