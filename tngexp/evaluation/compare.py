"""Trained codecs against real ones, by real files and with the same metrics."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

import tngexp
from tngexp.anchors import anchor
from tngexp.common import terminal
from tngexp.common.configuration import cache_folder
from tngexp.common.folders import shown_path
from tngexp.common.options import as_list
from tngexp.datasets.images import Photo
from tngexp.evaluation import (
    Model,
    RecordFile,
    at_efforts,
    at_looks,
    divide,
    load_models,
    measure_codecs,
    photos_to_measure,
    to_curves,
)
from tngexp.evaluation.anchored import decode_record, measure_anchors
from tngexp.evaluation.codecs import reconstruction
from tngexp.evaluation.complexity import details, hybrid_details
from tngexp.evaluation.curves import curve_key
from tngexp.evaluation.progress import image_progress
from tngexp.evaluation.tsv import write_tsv
from tngexp.evaluation.viewer import choose_photos, viewer_images
from tngexp.hybrid.codec import HybridCodec, base_name, codecs_by_name
from tngexp.hybrid.model import load_hybrid
from tngexp.metrics.comparison import curve_bd_rate
from tngexp.metrics.curves import QUALITY_METRICS, Curve
from tngexp.metrics.records import ImageRecord
from tngexp.report.html import write_report
from tngexp.report.pictures import ViewerImage
from tngexp.report.plots import save_plots
from tngexp.report.published import read_published, to_compressai
from tngexp.report.table import Table
from tngexp.report.tables import check_same_images, comparison_tables
from tngexp.report.text import print_table
from tngexp.schema.measuring import CompareConf, checked
from tngexp.types import ConfigError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger
    from rich.console import Console

__all__ = ["Comparison", "compare", "log_all", "log_comparison", "show"]

# Left to the report and to tables.txt: one row a point, and one a pair.
_LONG_TABLES = ("points", "bd-matrix-psnr", "bd-matrix-ms-ssim")


class Comparison(NamedTuple):
    """What a comparison found and where it lies."""

    curves: list[Curve]
    records: list[ImageRecord]
    reference: str | None  # key of the curve that BD-rates are against
    tables: list[Table]
    plots: list[Path]
    report: Path
    notes: list[str]  # what was left out, and why


def compare(config: DictConfig | Mapping[str, Any]) -> Comparison:
    """Measure and compare what ``conf/compare.yaml`` says.

    Raises:
        TngexpError: for checkpoints, data, records or options that cannot be used.
    """
    plain = checked(_plain(config), CompareConf)
    rates = _rates(plain["viewer"]["bpp"])
    codecs, networks = divide(_runs(plain["runs"]))
    plain["anchors"] = list(dict.fromkeys([*plain["anchors"], *networks]))
    models = []
    if codecs or not plain["anchors"]:
        models = at_efforts(load_models(codecs), plain["efforts"], plain["tune"])
        models = at_looks(models, plain["looks"], plain["look_from"])
    quoted = _quoted(plain["published"])
    dataset, photos = photos_to_measure(plain["data"], plain["held_out"])
    if plain["images"] is not None:
        photos = choose_photos(photos, plain["images"], "images", 1)
    shown = choose_photos(photos, plain["viewer"]["images"])
    out = Path(plain["out"])
    anchored = codecs_by_name(plain["anchors"])
    wanted = _label_of(
        plain["reference"],
        {name: found[0].label for name, found in anchored.items()},
        [model.curve for model in models],
        quoted,
        {name: line for name, found in anchored.items() if (line := found[0].missing())},
    )

    records, notes = _measure(plain, models, photos, dataset, out)
    if not records and not quoted:
        raise ConfigError(f"nothing was measured: {'; '.join(notes)}")
    labels = list(dict.fromkeys(model.curve for model in models))
    costs = {label: details(next(m for m in models if m.curve == label).codec) for label in labels}
    behind = {
        codec.label: codec.model
        for found in anchored.values()
        for codec in found
        if isinstance(codec, HybridCodec) and codec.model is not None
    }
    sizes = {model: hybrid_details(load_hybrid(model)) for model in set(behind.values())}
    costs |= {label: sizes[model] for label, model in behind.items()}
    curves = [*to_curves(records, costs), *quoted]
    check_same_images(curves)
    reference = _reference(curves, wanted, None if models else _alone(networks))
    tables = comparison_tables(curves, reference, plain["hull"])
    images = viewer_images(shown, curves, records, rates, _pixels(models, out, plain))
    trained = [curve.label for curve in curves if curve.kind == "codec"]
    title = f"{', '.join(trained or [curve.label for curve in curves])} on {dataset}"
    plots = save_plots(curves, out, f"{dataset}, {len(photos)} images")
    for curve in curves:
        if curve.kind != "published":
            _write_json(out / "curves" / f"{curve.key}.json", to_compressai(curve))
    _write_tables(out / "tables.txt", tables)
    write_tsv(out / "images.tsv", records)
    report = _report(out, title, f"{len(photos)} images", curves, tables, images, notes)
    return Comparison(curves, records, reference, tables, plots, report, notes)


def _runs(value: Any) -> list[str] | dict[str, list[str]]:
    """``runs=`` as :func:`load_models` takes it."""
    if isinstance(value, Mapping):
        return {str(label): as_list(f"runs.{label}", places) for label, places in value.items()}
    return as_list("runs", value)


def _quoted(paths: Sequence[str]) -> list[Curve]:
    """The curves of ``published=``; refuses two of one name before anything is measured."""
    found: dict[str, str] = {}
    curves = []
    for path in dict.fromkeys(paths):
        curve = read_published(path)
        other = found.setdefault(curve.key, path)
        if other != path:
            raise ConfigError(
                f"published={other} and {path} would both be called {curve.key}; rename one of "
                "the files"
            )
        curves.append(curve)
    return curves


def _rates(value: Any) -> list[float]:
    """``viewer.bpp=`` as a list."""
    rates = value if isinstance(value, list) else [value]
    if not all(isinstance(r, int | float) and not isinstance(r, bool) and r > 0 for r in rates):
        raise ConfigError(f"viewer.bpp={value!r} must be rates above 0, e.g. viewer.bpp=[0.2,0.5]")
    return [float(rate) for rate in rates]


def show(comparison: Comparison, console: Console | None = None, brief: bool = False) -> None:
    """Print the main tables and where everything is.

    Args:
        comparison: what to show.
        console: where; standard output by default.
        brief: only the points, and what the trained codecs save at their own qualities.
    """
    console = console or terminal.console()
    for table in comparison.tables:
        if brief and table.key == "points":
            print_table(console, _without(table, "images", "encode s", "decode s"))
        elif table.key == "own-points" or (not brief and table.key not in _LONG_TABLES):
            print_table(console, table)
    for note in comparison.notes:
        print(f"note: {note}")
    plot = next((p for p in comparison.plots if p.suffix == ".png"), None)
    for what, path in (("all tables", comparison.report.with_name("tables.txt")), ("plots", plot)):
        if path is not None:
            print(f"{what} in {shown_path(path)}")
    print(f"report in {shown_path(comparison.report)}")


def _without(table: Table, *labels: str) -> Table:
    """``table`` narrowed for a terminal."""
    kept = [i for i, column in enumerate(table.columns) if column.label not in labels]
    return replace(
        table,
        columns=tuple(table.columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
    )


def _write_tables(path: Path, tables: Sequence[Table]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        console = terminal.console(file, width=140)
        for table in tables:
            print_table(console, table)


def _measure(
    config: Mapping[str, Any],
    models: Sequence[Model],
    photos: Sequence[Photo],
    dataset: str,
    out: Path,
) -> tuple[list[ImageRecord], list[str]]:
    """Records of anchors and codecs, and what could not be measured."""
    with image_progress("anchors") as advance:
        anchored = measure_anchors(
            config["anchors"],
            photos,
            _cache(config),
            dataset=dataset,
            settings=config["anchor_settings"],
            metrics=config["metrics"],
            workers=config["workers"],
            progress=advance,
        )
    with image_progress("codecs") as advance:
        coded = measure_codecs(
            models,
            photos,
            dataset,
            RecordFile(out / "records.jsonl"),
            qualities=config["qualities"],
            metrics=config["metrics"],
            files=out / "files",
            progress=advance,
        )
    return [*anchored.records, *coded], anchored.missing


def _pixels(
    models: Sequence[Model], out: Path, config: Mapping[str, Any]
) -> Callable[[ImageRecord], Any]:
    """Decodes the kept file that a record is about."""

    def pixels(record: ImageRecord) -> Any:
        if record.kind == "codec":
            model = next(model for model in models if model.key == record.codec_key)
            return reconstruction(model, record.file_in(out / "files"))
        return decode_record(_cache(config), record)

    return pixels


def _cache(config: Mapping[str, Any]) -> Path:
    return cache_folder(config["cache"]) / "anchors"


def _alone(networks: Sequence[str]) -> str | None:
    """The label of the codec that the first of ``networks`` stands behind."""
    return anchor(base_name(networks[0])).label if networks else None


def _label_of(
    wanted: str | None,
    anchors: Mapping[str, str],
    codecs: Sequence[str],
    quoted: Sequence[Curve] = (),
    missing: Mapping[str, str] = {},
) -> str | None:
    """The label, or what may be one, that ``reference=`` means; told before all is measured.

    Args:
        wanted: name of an anchor as in ``anchors=``, key or label of a curve.
        anchors: name → label.
        codecs: labels of trained codecs.
        quoted: curves that have their keys already.
        missing: name of an anchor that cannot run → how to get it.

    Raises:
        ConfigError: where no curve will be called so.
    """
    absent = {name: label for name, label in anchors.items() if name in missing}
    anchors = {name: label for name, label in anchors.items() if name not in missing}
    if wanted is None or wanted in anchors:
        return anchors.get(wanted or "")
    # A codec may be called as an anchor is; their keys differ.
    labels = [*dict.fromkeys(anchors.values()), *dict.fromkeys(codecs)]
    keys: list[str] = []
    for label in labels:
        keys.append(curve_key(label, keys))
    if wanted not in (*labels, *keys, *(name for c in quoted for name in (c.key, c.label))):
        for name, label in absent.items():
            if wanted in (name, label, curve_key(label)):
                raise ConfigError(f"reference={wanted}: {missing[name]}")
        others = [*keys[len(set(anchors.values())) :], *(curve.key for curve in quoted)]
        known = ", ".join([*anchors, *others])
        raise ConfigError(f"reference={wanted} is none of the curves: {known}")
    return wanted


def _reference(curves: Sequence[Curve], wanted: str | None, usual: str | None = None) -> str | None:
    """The key of the curve that others are compared with.

    Args:
        curves: all there are.
        wanted: key or label of the one to take.
        usual: label of the one to take otherwise, where it is among them.
    """
    keys = [curve.key for curve in curves]
    if wanted is not None:
        for curve in curves:
            if wanted in (curve.key, curve.label):
                return curve.key
        raise ConfigError(f"reference={wanted} is none of the curves: {', '.join(keys)}")
    for curve in curves:
        if curve.label == usual:
            return curve.key
    anchors = [curve.key for curve in curves if curve.kind == "anchor"]
    return next((key for key in anchors if key.startswith("bpg")), next(iter([*anchors, *keys])))


def _report(
    out: Path,
    title: str,
    subtitle: str,
    curves: Sequence[Curve],
    tables: Sequence[Table],
    images: Sequence[ViewerImage],
    notes: Sequence[str],
) -> Path:
    path = out / "report.html"
    write_report(
        path,
        title=title,
        subtitle=subtitle,
        curves=curves,
        tables=tables,
        images=images,
        notes=notes,
        meta={"command": shlex.join(sys.argv), "tngexp": tngexp.__version__},
    )
    return path


def log_all(config: DictConfig, comparison: Comparison) -> None:
    """W&B: one run for the comparison, and one for each codec, all in one group."""
    from tngexp.logs.rd_log import log_points, run_logger

    out = Path(config.out)
    name = config.name or out.name
    group = config.group or name
    plain = _plain(config)
    with run_logger(plain, out, name, group, job="compare") as logger:
        log_comparison(logger, comparison)
    for curve in comparison.curves:
        if curve.kind == "codec":
            with run_logger(plain, out, curve.key, group, job="curve") as logger:
                log_points(logger, curve, _bd_rates(curve, comparison))


def _bd_rates(curve: Curve, comparison: Comparison) -> dict[str, float | None]:
    """Against the comparison's reference, in %; None where refused."""
    reference = next((c for c in comparison.curves if c.key == comparison.reference), None)
    if reference is None or reference is curve:
        return {}
    return {
        f"bd_rate_{metric.removesuffix('_db')}": curve_bd_rate(curve, reference, metric).value
        for metric in QUALITY_METRICS
    }


def log_comparison(logger: Logger | None, comparison: Comparison) -> None:
    """Tables, RD chart and plots into a W&B run; nothing for other loggers."""
    from tngexp.logs.rd_log import log_curves, log_pictures, log_records, log_table

    log_records(logger, "comparison/records", comparison.records)
    for table in comparison.tables:
        log_table(logger, table)
    log_curves(logger, comparison.curves)
    log_pictures(logger, {p.stem: p for p in comparison.plots if p.suffix == ".png"})


def _plain(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    node = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
