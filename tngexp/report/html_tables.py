"""Tables and sources as HTML that reads well without scripts, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from tngexp.metrics.curves import Curve
from tngexp.report.plots_style import LineStyle, curve_label, line_styles
from tngexp.report.table import Cell, Column, Table

__all__ = ["sources_html", "tables_html"]


def tables_html(tables: Sequence[Table], curves: Sequence[Curve]) -> str:
    """Every table with its caption and notes; the names of curves carry their colours."""
    styles = dict(zip((curve.label for curve in curves), line_styles(curves), strict=True))
    return "\n".join(_table(table, styles) for table in tables)


def sources_html(curves: Sequence[Curve]) -> str:
    """A list of how the figures of each curve came about."""
    items = []
    for curve, style in zip(curves, line_styles(curves), strict=True):
        details = "; ".join(f"{name}: {_detail(value)}" for name, value in curve.details.items())
        items.append(
            f"<div><dt>{_dot(style)}{escape(curve_label(curve))}</dt>"
            f"<dd>{escape(curve.source)}{f'<br>{escape(details)}' if details else ''}</dd></div>"
        )
    return "".join(items)


def _table(table: Table, styles: Mapping[str, LineStyle]) -> str:
    notes = _Notes(table.key)
    heading = "".join(_heading(column, notes) for column in table.columns)
    rows = "\n".join(
        "<tr>"
        + "".join(
            _cell(cell, column, notes, styles, first=index == 0)
            for index, (cell, column) in enumerate(zip(row, table.columns, strict=True))
        )
        + "</tr>"
        for row in table.rows
    )
    key = escape(table.key)
    caption = f'<p class="caption">{escape(table.caption)}</p>' if table.caption else ""
    return f"""<article class="table" id="table-{key}">
<h3 id="title-{key}">{escape(table.title)}</h3>
<div class="scroll" role="region" aria-labelledby="title-{key}" tabindex="0">
<table aria-labelledby="title-{key}">
<thead><tr>{heading}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
{caption}{notes.html()}
</article>"""


def _heading(column: Column, notes: _Notes) -> str:
    kind = ' class="number"' if column.numeric else ""
    title = f' title="{escape(column.note)}"' if column.note else ""
    # The mark is outside of the button: it is a link of its own.
    return (
        f'<th scope="col" aria-sort="none"{kind}><span><button type="button"{title}>'
        f"{escape(column.label)}</button>{notes.mark(column.note)}</span></th>"
    )


def _cell(
    cell: Cell, column: Column, notes: _Notes, styles: Mapping[str, LineStyle], first: bool
) -> str:
    name = 'th scope="row"' if first and not column.numeric else "td"
    kind = ' class="number"' if column.numeric else ""
    value = "" if cell.value is None else f' data-value="{escape(str(cell.value))}"'
    title = f' title="{escape(cell.note)}"' if cell.note else ""
    dot = _dot(styles[cell.text]) if first and cell.text in styles else ""
    end = name.partition(" ")[0]
    return f"<{name}{kind}{value}{title}>{dot}{escape(cell.text)}{notes.mark(cell.note)}</{end}>"


def _dot(style: LineStyle) -> str:
    colour = f"--c: light-dark({style.light}, {style.dark})"
    return f'<i class="dot" style="{colour}" aria-hidden="true"></i>'


def _detail(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


class _Notes:
    """Numbers a table's notes in the order they come; equal ones share a number."""

    def __init__(self, key: str) -> None:
        self._key = escape(key)
        self._numbers: dict[str, int] = {}

    def mark(self, note: str) -> str:
        if not note:
            return ""
        number = self._numbers.setdefault(note, len(self._numbers) + 1)
        target = f"note-{self._key}-{number}"
        return f'<sup><a href="#{target}" aria-label="note {number}">{number}</a></sup>'

    def html(self) -> str:
        if not self._numbers:
            return ""
        items = "".join(
            f'<li id="note-{self._key}-{number}">{escape(note)}</li>'
            for note, number in self._numbers.items()
        )
        return f'<ol class="footnotes">{items}</ol>'
