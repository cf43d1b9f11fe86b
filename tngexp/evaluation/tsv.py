"""Measurements of every image as one table, tab-separated: to keep, to share and to read anywhere.

``records.jsonl`` is where an evaluation goes on; this is what others recompute its figures from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from tngexp.common.atomic import replacing
from tngexp.evaluation.curves import curve_key
from tngexp.metrics.curves import Curve, ImagePoint, RDPoint
from tngexp.metrics.records import ImageRecord, Kind
from tngexp.types import TngexpError

__all__ = ["COLUMNS", "read_tsv", "write_tsv"]

COLUMNS = (
    *("codec", "kind", "model", "setting", "quality", "effort", "dataset", "image"),
    *("width", "height", "pixels", "bytes", "bpp", "psnr_db", "ms_ssim", "encode_s", "decode_s"),
)
"""One row an image and setting; columns of further metrics follow. ``model`` is the fingerprint of
a trained codec or the name of an anchor, ``quality`` 0 … 1 or the anchor's own number, ``bytes``
of the whole file, ``bpp`` 8·bytes/pixels. Empty: a figure that there is none of."""

_KINDS = ("codec", "anchor")


def write_tsv(path: Path, records: Iterable[ImageRecord]) -> None:
    """Write one row a record, in their order; replaces the file.

    Args:
        path: of the file.
        records: of codecs and anchors.
    """
    rows = list(records)
    metrics = dict.fromkeys(name for record in rows for name in record.measured.metrics)
    with (
        replacing(path) as temporary,
        # Names of files need not be valid text.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow([*COLUMNS, *metrics])
        table.writerows([*_row(record), *_further(record, metrics)] for record in rows)


def read_tsv(path: str | Path) -> list[Curve]:
    """The curves in a file of :func:`write_tsv`, each with all of its images.

    :func:`tngexp.metrics.comparison.curve_bd_rate` says what one needs of another's bits.

    Raises:
        TngexpError: for a file that is missing or holds something else.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            table = csv.DictReader(file, delimiter="\t")
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise TngexpError(
                    f"{path} is no table of images by tngexp: it has no column {missing[0]!r}"
                )
            rows = list(table)
    except OSError as error:
        raise TngexpError(f"{path} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise TngexpError(f"{path} is not tab-separated text: {error}") from error
    grouped: dict[tuple[str, str], dict[tuple[str, ...], list[ImagePoint]]] = {}
    for number, row in enumerate(rows, start=2):
        try:
            image = _image(row)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise TngexpError(f"{path}, row {number}: not the figures of an image") from error
        points = grouped.setdefault((row["kind"], row["codec"]), {})
        points.setdefault((row["model"], row["setting"], row["quality"]), []).append(image)
    curves: list[Curve] = []
    for (kind, label), settings in grouped.items():
        rated = [RDPoint(key[1], tuple(images)) for key, images in settings.items()]
        curves.append(
            Curve(
                key=curve_key(label, {curve.key for curve in curves}),
                label=label,
                kind=cast(Kind, kind),
                points=Curve.sorted(rated),
                source=f"from {path.name}",
            )
        )
    return curves


def _row(record: ImageRecord) -> list[Any]:
    measured = record.measured
    return [
        *(record.codec, record.curve_kind, record.model, record.setting),
        *("" if record.quality is None else f"{record.quality:g}", record.effort),
        *(record.dataset, record.image),
        *(measured.width, measured.height, measured.width * measured.height, measured.bytes),
        *(_shown(measured.bpp, 6), _shown(measured.psnr_db, 5), _shown(measured.ms_ssim, 8)),
        *(_shown(measured.encode_s, 4), _shown(measured.decode_s, 4)),
    ]


def _further(record: ImageRecord, names: Iterable[str]) -> list[str]:
    values = (record.measured.metrics.get(name) for name in names)
    return ["" if value is None else f"{value:.8g}" for value in values]


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _image(row: Mapping[str, str]) -> ImagePoint:
    """Raises KeyError, TypeError or ValueError for anything but what :func:`_row` makes."""
    if row["kind"] not in _KINDS:
        raise ValueError(row["kind"])
    width, height, size = (int(row[name]) for name in ("width", "height", "bytes"))
    further = [name for name in row if name not in COLUMNS]
    return ImagePoint(
        image=row["image"],
        width=width,
        height=height,
        bytes=size,
        bpp=8 * size / (width * height),
        psnr_db=_figure(row["psnr_db"]),
        ms_ssim=_figure(row["ms_ssim"]),
        encode_s=_figure(row["encode_s"]),
        decode_s=_figure(row["decode_s"]),
        metrics={name: v for name in further if (v := _figure(row[name])) is not None},
    )


def _figure(text: str) -> float | None:
    return float(text) if text else None
