"""Measure trained codecs by real files: ``python -m tngexp.evaluate checkpoint=best.ckpt``.

Every image is compressed to bytes, decompressed from them, and compared with the original. Records
go to ``records.jsonl``; running again continues where the last run stopped.
"""

from __future__ import annotations

import datetime
import platform
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import tngexp
from tngexp._cli import debugging, explain, guarded
from tngexp._conf import CONF_DIR, register_resolvers
from tngexp.build import build
from tngexp.codec import Codec
from tngexp.datasets.images import Photo
from tngexp.datasets.module import ImageDataModule
from tngexp.evaluation import RecordFile, measure
from tngexp.io import load
from tngexp.metrics import ms_ssim_db
from tngexp.types import ConfigError, TngexpError

__all__ = ["Point", "evaluate", "main"]

Point = tuple[str, float | None]
"""A checkpoint and a quality: one point of an RD curve."""


def evaluate(config: DictConfig) -> dict[Point, list[dict[str, Any]]]:
    """Measure what ``conf/evaluate.yaml`` says; returns the records of each point.

    Raises:
        TngexpError: for a missing or foreign checkpoint, unusable data, or foreign records.
    """
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    chosen = plain["checkpoint"]
    checkpoints = [Path(c) for c in (chosen if isinstance(chosen, list) else [chosen])]
    codecs = [load(path) for path in checkpoints]  # a bad one is reported before any work
    dataset, photos = _photos(plain["data"])
    out = Path(plain["out"])
    records = RecordFile(out / "records.jsonl")
    points: dict[Point, list[dict[str, Any]]] = {}
    todo = list(_points(checkpoints, codecs, plain["qualities"]))
    with tqdm(total=len(todo) * len(photos), unit="image", disable=None) as progress:
        for path, codec, quality in todo:
            rows = points.setdefault((str(path), quality), [])
            for photo in photos:
                key = {
                    "model": codec.fingerprint().hex(),
                    "dataset": dataset,
                    "image": photo.name,
                    "quality": quality,
                }
                record = records.get(**key)
                if record is None:
                    measurement, file = measure(codec, photo.decode(), quality)
                    if plain["save_files"]:
                        _save(out, key, file)
                    record = {**key, "checkpoint": str(path), **asdict(measurement), **_context()}
                    records.add(record)
                rows.append(record)
                progress.update()
    return points


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    register_resolvers()
    if argv is not None:
        sys.argv[1:] = argv

    failed = False

    def job(config: DictConfig) -> None:
        nonlocal failed
        try:
            points = evaluate(config)
        except (TngexpError, OmegaConfBaseException, OSError) as error:
            # Caught here, since Hydra would add a line of its own to the message.
            message = explain(error, "evaluate")
            if message is None or debugging():
                raise
            print(f"error: {message}", file=sys.stderr)
            failed = True
            return
        Console().print(_table(points))
        print(f"records in {Path(config.out) / 'records.jsonl'}")

    job.__module__ = "tngexp.evaluate"
    entry = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="evaluate")(job)
    code = guarded(entry, "evaluate")
    return 2 if failed else code


def _photos(config: dict[str, Any]) -> tuple[str, list[Photo]]:
    """The data set's name and the photos to measure: of a folder all, else those held out."""
    if "val_root" in config:
        config = {**config, "crop": 1}  # nothing is cropped, so nothing is too small
    data: ImageDataModule = build(config, trusted=True)
    data.setup("validate")
    name = type(data).__name__.removesuffix("DataModule").lower()
    photos = list(data.photos.val)
    if "val_root" in config:
        name = Path(config["root"]).name
        photos = sorted([*data.photos.train, *photos], key=lambda photo: photo.name)
    return name, photos


def _points(
    checkpoints: Sequence[Path], codecs: Sequence[Codec], qualities: Any
) -> Iterator[tuple[Path, Codec, float | None]]:
    values = qualities if isinstance(qualities, list) else [qualities]
    if not values or not all(isinstance(q, int | float) and 0 <= q <= 1 for q in values):
        raise ConfigError(f"qualities={qualities} must be numbers in 0 … 1, e.g. qualities=[0,0.5]")
    for path, codec in zip(checkpoints, codecs, strict=True):
        for quality in values if codec.rate.variable else [None]:
            yield path, codec, None if quality is None else float(quality)


def _context() -> dict[str, Any]:
    return {
        "tngexp": tngexp.__version__,
        "torch": torch.__version__,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "processor": platform.machine(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
    }


def _save(out: Path, key: dict[str, Any], file: bytes) -> None:
    quality = "" if key["quality"] is None else f"_{key['quality']:g}"
    name = Path(str(key["image"])).with_suffix(".tng")
    path = out / "files" / f"{key['model']}{quality}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file)


def _table(points: dict[Point, list[dict[str, Any]]]) -> Table:
    """Narrow enough for 80 columns: checkpoints are numbered and named below."""
    numbers = {name: n for n, name in enumerate(dict.fromkeys(c for c, _ in points), start=1)}
    table = Table(
        title="real files, header included; means over images",
        caption="\n".join(f"{n}: {name}" for name, n in numbers.items()),
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in ("#", "quality", "images", "bpp", "vs. est.", "PSNR", "MS-SSIM", "in dB"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("enc s", "dec s"):
        table.add_column(column, justify="right", no_wrap=True)
    for (checkpoint, quality), rows in points.items():
        estimate = sum(r["estimated_bpp"] * r["width"] * r["height"] for r in rows) / 8
        size = sum(r["bytes"] for r in rows)
        similarity = _mean(rows, "ms_ssim")
        decibels = None if similarity is None else float(ms_ssim_db(torch.tensor(similarity)))
        table.add_row(
            str(numbers[checkpoint]),
            "–" if quality is None else f"{quality:g}",
            str(len(rows)),
            _shown(_mean(rows, "bpp"), 4),
            f"{size / estimate - 1:+.2%}",
            _shown(_mean(rows, "psnr_db"), 2),
            _shown(similarity, 4),
            _shown(decibels, 2),
            _shown(_mean(rows, "encode_s"), 2),
            _shown(_mean(rows, "decode_s"), 2),
        )
    return table


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    """Mean over the images that could be measured; None when there is none."""
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.mean(values) if values else None


def _shown(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
