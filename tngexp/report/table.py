"""Tables as data: computed once, printed in a terminal and written to HTML.

A figure becomes the text of a cell in one of the functions below, the same for every table.
"""

from __future__ import annotations

from dataclasses import dataclass

from tngexp.metrics.curves import Curve

__all__ = [
    "Cell",
    "Column",
    "Footnotes",
    "Table",
    "label_cell",
    "mean_sd",
    "not_applicable",
    "number",
    "range_cell",
    "refused",
    "signed",
]


@dataclass(frozen=True)
class Cell:
    """A text and what it sorts by."""

    text: str
    value: float | str | None = None  # None sorts last
    note: str = ""  # why a figure is missing, or the range it holds for


@dataclass(frozen=True)
class Column:
    """A heading; numeric columns are aligned to the right."""

    label: str
    numeric: bool = True
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A titled table of ``len(columns)`` cells a row."""

    key: str  # fit for an HTML id: "bd-rate-psnr"
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""  # conventions and warnings, plain text


class Footnotes:
    """Numbers a table's notes from 1 in the order they come; equal ones share a number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, note: str) -> int:
        """The number of ``note``, a new one if it is new."""
        return self._numbers.setdefault(note, len(self._numbers) + 1)

    @property
    def notes(self) -> list[str]:
        """The notes, number 1 first."""
        return list(self._numbers)


def label_cell(curve: Curve) -> Cell:
    """The name of a curve."""
    return Cell(curve.label, curve.label)


def number(value: float | None, digits: int, note: str = "", missing: str = "") -> Cell:
    """A figure; n/a where there is none, which ``missing`` explains."""
    return refused(missing or note) if value is None else Cell(f"{value:.{digits}f}", value, note)


def signed(value: float | None, note: str = "") -> Cell:
    """A difference in %, with its sign."""
    if value is None:
        return refused(note)
    text = f"{value:+.1f}".replace("-", "−")
    return Cell("0.0" if text in ("+0.0", "−0.0") else text, value, note)


def mean_sd(mean: float | None, sd: float | None, digits: int, note: str = "") -> Cell:
    """Mean ± standard deviation; without the latter where it is None."""
    if mean is None:
        return refused(note)
    spread = "" if sd is None else f" ± {sd:.{digits}f}"
    return Cell(f"{mean:.{digits}f}{spread}".replace("-", "−"), mean, note)


def range_cell(low: float, high: float, digits: int) -> Cell:
    """From–to; sorts by where it starts."""
    return Cell(f"{low:.{digits}f}–{high:.{digits}f}", low)


def refused(note: str) -> Cell:
    """A figure that cannot be given, and why."""
    return Cell("n/a", None, note)


def not_applicable() -> Cell:
    """A figure that nobody asked for or that is not known."""
    return Cell("–")
