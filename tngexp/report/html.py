"""One self-contained HTML file: curves to explore, tables to sort, reconstructions to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tngexp.common.atomic import replacing
from tngexp.common.terminal import valid
from tngexp.metrics.comparison import rate_and_quality
from tngexp.metrics.curves import QUALITY_METRICS, Curve, ImagePoint, RDPoint
from tngexp.report.pictures import Pixels, ViewerImage, viewer_data
from tngexp.report.style import curve_label, line_styles
from tngexp.report.table import Footnotes, Table
from tngexp.report.template import plain, template

__all__ = ["write_report"]

_SCRIPTS = (
    *("figures.js", "page.js", "charts.js", "stage.js"),
    *("viewer.js", "tables.js", "report.js"),
)
_IMAGE_COLUMNS = (
    "image",
    "width",
    "height",
    "bytes",
    "bpp",
    "psnr_db",
    "ms_ssim",
    "ms_ssim_db",
    "encode_s",
    "decode_s",
)


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
    styles = line_styles(curves)
    pixels = Pixels()
    page = {
        "styles": [vars(style) for style in styles],
        "viewer": [viewer_data(image, pixels) for image in images],
    }
    page_template = template(
        "report.html",
        filters={"label": curve_label, "details": _details},
        functions={"plotly": _plotly},
    )
    text = page_template.render(
        title=title,
        subtitle=subtitle,
        curves=list(zip(curves, styles, strict=True)),
        styles=dict(zip((curve.label for curve in curves), styles, strict=True)),
        tables=[(table, Footnotes()) for table in tables],
        notes=notes,
        meta=meta,
        curves_data=plain(_curves_data(title, subtitle, curves)),
        page_data=plain(page),
        pixels=pixels.uris,
        scripts=_SCRIPTS,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(valid(text), encoding="utf-8")


def _plotly() -> Markup:
    # Here, since it takes long and a report without curves does without.
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    # Nothing in the library may end the script element that it stands in.
    return Markup(str(get_plotlyjs()).replace("</script", "<\\/script"))


def _details(curve: Curve) -> str:
    """What is known of a curve besides its points, as one line."""
    return "; ".join(f"{name}: {_detail(value)}" for name, value in curve.details.items())


def _detail(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _curves_data(title: str, subtitle: str, curves: Sequence[Curve]) -> dict[str, Any]:
    """Everything the curves know; images as rows under one heading, to be compact."""
    points = [point for curve in curves for point in curve.points]
    # In the order they came, without repeats.
    further = list(dict.fromkeys(m for p in points for image in p.images for m in image.metrics))
    return {
        "title": title,
        "subtitle": subtitle,
        "metrics": QUALITY_METRICS,
        "image_columns": [*_IMAGE_COLUMNS, *further],
        "curves": [_curve(curve, further) for curve in curves],
    }


def _curve(curve: Curve, further: Sequence[str]) -> dict[str, Any]:
    return {
        "key": curve.key,
        "label": curve_label(curve),
        "kind": curve.kind,
        "source": curve.source,
        "details": curve.details,
        "points": [_point(point, further) for point in curve.points],
    }


def _point(point: RDPoint, further: Sequence[str]) -> dict[str, Any]:
    return {
        "setting": point.setting,
        "bpp": point.bpp,
        "psnr_db": point.psnr_db,
        "ms_ssim": point.ms_ssim,
        # Where the charts put it: rate and quality over the images that have the metric.
        "drawn": {metric: rate_and_quality(point, metric) for metric in QUALITY_METRICS},
        "images": [_image(image, further) for image in point.images],
    }


def _image(image: ImagePoint, further: Sequence[str]) -> list[Any]:
    return [
        *(getattr(image, name) for name in _IMAGE_COLUMNS),
        *(image.metrics.get(name) for name in further),
    ]
