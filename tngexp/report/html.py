"""One self-contained HTML file: curves to explore, tables to sort, reconstructions to look at."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from tngexp.common.terminal import valid
from tngexp.metrics.curves import Curve
from tngexp.report.html_data import curves_data
from tngexp.report.html_pictures import Pixels, viewer_data
from tngexp.report.html_tables import sources_html, tables_html
from tngexp.report.pictures import ViewerImage
from tngexp.report.plots_style import line_styles
from tngexp.report.table import Table

__all__ = ["write_report"]

_ASSETS = resources.files("tngexp.report") / "assets"
_SCRIPTS = ("figures.js", "charts.js", "stage.js", "viewer.js", "tables.js", "report.js")


def write_report(
    path: Path,
    *,
    title: str,
    subtitle: str,
    curves: Sequence[Curve],
    tables: Sequence[Table],
    images: Sequence[ViewerImage],
    notes: Sequence[str],
    meta: Mapping[str, str],
) -> None:
    """Write ``report.html``, whole or not at all; it needs nothing beside it and no network.

    The size: plotly.js takes 4.8 MB once there are curves, the numbers of ten curves over 24
    images 0.3 MB, and each distinct picture what lossless WebP makes of it, and a third more. A
    photo of 768×512 comes to about 0.55 MB, a coarse reconstruction of it to 0.15 to 0.3 MB: four
    images of six codecs at three rates are 20 MB. Nothing here limits that; ``images`` does.

    Args:
        path: the file to write; replaced if it exists, its folder is created.
        title: what was compared.
        subtitle: on what.
        curves: in the order of the legend. Everything they know can be downloaded from the page.
        tables: in the order of the page.
        images: what the viewer offers; without any there is no viewer.
        notes: what a reader should know, such as what was left out; a sentence each.
        meta: how the report came about, by name, such as the command and the version.
    """
    pixels = Pixels()
    page = {
        "styles": [vars(style) for style in line_styles(curves)],
        "viewer": [viewer_data(image, pixels) for image in images],
    }
    text = Template(_asset("report.html")).substitute(
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        css=_asset("report.css"),
        meta=_meta_html(meta),
        notes="".join(f"<li>{html.escape(note)}</li>" for note in notes),
        tables=tables_html(tables, curves),
        sources=sources_html(curves),
        curves_json=_json(curves_data(title, subtitle, curves)),
        page_json=_json(page),
        pixels=pixels.html(),
        plotly=_plotly() if curves else "",
        scripts="\n".join(map(_asset, _SCRIPTS)),
        hide_charts="" if curves else "hidden",
        hide_viewer="" if images else "hidden",
        hide_tables="" if tables else "hidden",
        hide_notes="" if notes else "hidden",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    try:
        beside.write_text(valid(text), encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _plotly() -> str:
    # Here, since it takes long and a report without curves does without.
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    # Nothing in the library may end the script element that it stands in.
    return str(get_plotlyjs()).replace("</script", "<\\/script")


def _json(data: Any) -> str:
    """JSON that may stand inside a script element: no ``<`` means no end tag and no comment."""
    text = json.dumps(_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _plain(data: Any) -> Any:
    """The same with only what JSON knows; NaN and infinity become null, the unknown its text."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, float):
        return float(data) if math.isfinite(data) else None
    if data is None or isinstance(data, bool | int):
        return data
    return valid(str(data))  # here, since the backslashes of a name are escaped yet


def _meta_html(meta: Mapping[str, str]) -> str:
    return "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in meta.items()
    )
