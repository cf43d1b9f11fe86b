"""The end of a run: one table and one picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tngexp.common import terminal
from tngexp.common.folders import shown_path

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["TrainResult", "print_summary"]


class TrainResult(NamedTuple):
    """What a run has achieved and where it lies."""

    run_dir: Path
    best: Path
    last: Path
    picture: Path | None
    logs: Path | None
    steps: int  # optimizer steps, earlier runs included
    max_steps: int
    time_limit: float | None  # trainer.max_time in seconds, where it has ended the run
    best_step: int
    val: dict[str, float]  # of the best checkpoint, e.g. "val/bpp", "val/q0.5/psnr"
    images: int | None  # validation images; None where the data module does not tell
    images_per_s: float
    seconds: float
    started_from: str | None  # where init_from's weights came from, and what is new
    frozen: str | None  # the parts that were not trained

    @property
    def val_loss(self) -> float:
        """Validation loss of the best checkpoint; NaN where it could not be measured."""
        return self.val.get("val/loss", float("nan"))


def print_summary(
    result: TrainResult, name: str, console: Console | None = None, of_sweep: bool = False
) -> None:
    """Print the summary table. Rates are estimates from the entropy model, not file sizes.

    Args:
        result: of the run.
        name: of the run.
        console: where to; None for the standard output.
        of_sweep: whether it is a job of a sweep, which no ``resume=…`` continues.
    """
    from rich.table import Table
    from rich.text import Text

    console = console or terminal.console()
    table = Table(title=Text(f"tngexp {name}"), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, prefix in _qualities(result.val):
        figures = [
            f"{result.val[prefix + key]:{form}}{unit}"
            for key, form, unit in (
                ("bpp", ".4f", " bpp (estimated)"),
                ("psnr", ".2f", " dB PSNR"),
                ("ms_ssim", ".5f", " MS-SSIM"),
                ("loss", ".4f", " loss"),
            )
            if prefix + key in result.val
        ]
        table.add_row(label, ", ".join(figures))
    table.add_row(
        "validated on",
        f"{_counted(result.images)}averaged weights, best at step {result.best_step}",
    )
    minutes, seconds = divmod(round(result.seconds), 60)
    table.add_row(
        "training",
        f"{result.steps} steps, {result.images_per_s:.1f} images/s, {minutes} min {seconds:02d} s",
    )
    for label, note in (("started from", result.started_from), ("frozen", result.frozen)):
        if note is not None:
            table.add_row(label, Text(note))
    if result.time_limit is not None:
        table.add_row(
            "ended by",
            f"{_time(result.time_limit)} at step {result.steps} of "
            f"{result.max_steps}; its schedules ended with it",
        )
    for label, path in (
        ("best", result.best if result.best.exists() else None),
        ("last", result.last if result.last.exists() else None),
        ("log", result.logs),
        ("picture", result.picture),
    ):
        if path is not None:
            inside = path.is_relative_to(result.run_dir)
            table.add_row(label, Text(str(path.relative_to(result.run_dir) if inside else path)))
    console.print(table)
    # Outside of the table, which would break a long path into pieces that cannot be pasted.
    console.print(Text(f"all in {shown_path(result.run_dir)}"), soft_wrap=True)
    if result.time_limit is not None and not of_sweep:
        more = f"resume={shown_path(result.last)} {_time(2 * result.time_limit)}"
        console.print(Text(f"train on with {more}"), soft_wrap=True)


def _time(seconds: float) -> str:
    return f"trainer.max_time={{minutes:{seconds / 60:g}}}"


def _counted(images: int | None) -> str:
    return "" if images is None else f"{images} images, "


def _qualities(val: dict[str, float]) -> list[tuple[str, str]]:
    """(label, key prefix) of each quality, or one row for a fixed rate."""
    found = {match[1] for key in val if (match := re.match(r"val/q([\d.]+)/bpp$", key))}
    if not found:
        return [("validation", "val/")]
    return [(f"quality {q}", f"val/q{q}/") for q in sorted(found, key=float)]
