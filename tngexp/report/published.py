"""Curves in the layout of CompressAI's results: quoted ones in, measured ones out.

The layout is what ``python -m compressai.utils.eval_model`` writes and
``python -m compressai.utils.plot`` draws: ``{"name", "description", "results": {"psnr-rgb": […],
"ms-ssim-rgb": […], "bpp": […], "encoding_time": […], "decoding_time": […]}}``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tngexp.metrics.curves import Curve, RDPoint
from tngexp.types import TngexpError

__all__ = ["read_published", "to_compressai"]

_PSNR = ("psnr-rgb", "psnr")  # the plain names are those of older files
_MS_SSIM = ("ms-ssim-rgb", "ms-ssim")


def read_published(path: str | Path) -> Curve:
    """The curve quoted in a file, means over images only.

    MS-SSIM may be a similarity or in dB. Names in CompressAI's repository do not tell models
    trained for MSE from those for MS-SSIM, but file names do: that goes into the label.

    Raises:
        TngexpError: for a file that is missing or holds no such curve.
    """
    path = Path(path)
    content = _json(path)
    results = content.get("results", content)
    if not isinstance(results, dict):
        raise TngexpError(f'{path}: "results" must hold lists of figures')
    bpp = _figures(path, results, ("bpp",))
    psnr = _figures(path, results, _PSNR)
    ms_ssim = _similarities(path, _figures(path, results, _MS_SSIM))
    if not bpp or not (psnr or ms_ssim):
        raise TngexpError(
            f'{path}: a curve needs "bpp" and one of "psnr-rgb", "psnr", "ms-ssim-rgb", "ms-ssim" '
            f"in the layout of CompressAI's results; found: {', '.join(results) or 'nothing'}"
        )
    for name, values in (("PSNR", psnr), ("MS-SSIM", ms_ssim)):
        if values and len(values) != len(bpp):
            raise TngexpError(f"{path}: {len(bpp)} values of bpp, but {len(values)} of {name}")
    if min(bpp) <= 0:
        raise TngexpError(f"{path}: bpp must be positive, not {min(bpp):g}")
    points = [
        RDPoint(
            setting=f"point {index + 1}",
            quoted_bpp=rate,
            quoted_psnr_db=psnr[index] if psnr else None,
            quoted_ms_ssim=ms_ssim[index] if ms_ssim else None,
        )
        for index, rate in enumerate(bpp)
    ]
    description = str(content.get("description") or "").strip()
    return Curve(
        key="quoted-" + (re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "curve"),
        label=_label(path, content),
        kind="published",
        points=Curve.sorted(points),
        source=f"quoted from {path.name}" + (f": {description}" if description else ""),
    )


def to_compressai(curve: Curve) -> dict[str, Any]:
    """``curve`` in CompressAI's layout, for ``json.dump``; means over images.

    Seconds are of one image. A figure that some point lacks is left out of all, since the lists
    must be equally long; so is PSNR or MS-SSIM that some image lacks, since the one list of rates
    is of all images. ``description`` says so.
    """
    columns: dict[str, list[float | None]] = {
        "psnr-rgb": [point.psnr_db for point in curve.points],
        "ms-ssim-rgb": [point.ms_ssim for point in curve.points],
        "bpp": [point.bpp for point in curve.points],
        "encoding_time": [point.encode_s for point in curve.points],
        "decoding_time": [point.decode_s for point in curve.points],
    }
    images = [image for point in curve.points for image in point.images]
    partial = [
        name
        for name, attribute in (("psnr-rgb", "psnr_db"), ("ms-ssim-rgb", "ms_ssim"))
        if any(getattr(image, attribute) is None for image in images)
    ]
    notes = [f"{name} is left out, as not every image has one" for name in partial]
    return {
        "name": curve.label,
        "description": "; ".join([curve.source, *notes]),
        "results": {
            name: values
            for name, values in columns.items()
            if name not in partial and None not in values
        },
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TngexpError(f"{path}: there is no such file to quote a curve from") from None
    except OSError as error:
        raise TngexpError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or hostile
        raise TngexpError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise TngexpError(f"{path}: a curve is a JSON object, not a {type(content).__name__}")
    return content


def _figures(path: Path, results: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """The list under the first of ``names`` there is; empty without one."""
    name = next((name for name in names if name in results), None)
    if name is None:
        return []
    values = results[name]
    if not isinstance(values, list) or not all(_is_figure(value) for value in values):
        raise TngexpError(f'{path}: "{name}" must be a list of finite numbers')
    return [float(value) for value in values]


def _is_figure(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) < math.inf  # false for NaN, and takes integers of any length


def _similarities(path: Path, values: list[float]) -> list[float]:
    """MS-SSIM in 0..1, from dB where one value is too large to be a similarity."""
    if any(value > 1 for value in values):
        values = [1 - 10 ** (-value / 10) for value in values]
    if any(value < 0 for value in values):
        raise TngexpError(f"{path}: MS-SSIM must lie in 0..1, or be in dB")
    return values


def _label(path: Path, content: Mapping[str, Any]) -> str:
    name = str(content.get("name") or path.stem).strip()
    trained = re.search(r"[_-](ms-ssim|mse)(?=[_-]|$)", path.stem)
    if trained and trained[1] not in name.lower():
        name += f", {trained[1].upper()}"
    return f"{name} (quoted)"
