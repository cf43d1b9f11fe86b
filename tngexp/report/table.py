"""Tables as data: computed once, printed in a terminal and written to HTML."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cell", "Column", "Footnotes", "Table"]


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
