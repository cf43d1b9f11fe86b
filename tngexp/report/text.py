"""Tables in a terminal."""

from __future__ import annotations

import textwrap

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tngexp.report.table import Cell, Footnotes, Table

__all__ = ["print_table"]

_WORDS = 14  # characters a column of words keeps when space is short; longer remarks go below
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def print_table(console: Console, table: Table) -> None:
    """Print ``table`` with its notes, and long texts of a last column, as numbered footnotes.

    Words wrap to fit the console, figures never do: a table of many figures becomes wider than
    a narrow console rather than lose digits.
    """
    notes = Footnotes()
    headings = [_marked(notes, column.label, column.note) for column in table.columns]
    remarks = len(table.columns) - 1 if not table.columns[-1].numeric else None
    rows = [
        [
            _remark(notes, cell) if index == remarks else _marked(notes, cell.text, cell.note)
            for index, cell in enumerate(row)
        ]
        for row in table.rows
    ]
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    width = -2  # two characters between columns
    for column, heading, *texts in zip(table.columns, headings, *rows, strict=True):
        if column.numeric:
            # A heading may be as wide as the figures under it, or as its longest word.
            needed = max(map(cell_len, [*texts, *heading.split()]), default=0)
            label = Text("\n".join(textwrap.wrap(heading, needed)))
            grid.add_column(label, justify="right", width=needed, no_wrap=True)
        else:
            words = [word for text in [heading, *texts] for word in text.split()]
            needed = min(max(map(cell_len, words), default=0), _WORDS)
            grid.add_column(Text(heading), min_width=needed, overflow="fold")
        width += needed + 2
    for row in rows:
        grid.add_row(*map(Text, row))
    if width > console.width:
        grid.width = width
    console.print(Text(table.title, style="bold"))
    console.print(grid, crop=False, overflow="ignore")
    footnotes = [f"{_superscript(number)} {note}" for number, note in enumerate(notes.notes, 1)]
    for line in (table.caption, *footnotes):
        if line:
            console.print(Text(line, style="dim"))
    console.print()


def _marked(notes: Footnotes, text: str, note: str) -> str:
    return text + _superscript(notes.number(note)) if note else text


def _remark(notes: Footnotes, cell: Cell) -> str:
    text = cell.text if len(cell.text) <= _WORDS else _marked(notes, "", cell.text)
    return _marked(notes, text, cell.note)


def _superscript(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)
