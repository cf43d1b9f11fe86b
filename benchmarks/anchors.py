"""Anchors on Kodak: seconds of a first and of a second run, and agreement with a reference.

    python benchmarks/anchors.py KODAK [--reference REFERENCE.json] [--anchors jpeg webp …]

The bar for ten settings of jpeg, webp, avif, jxl and bpg on two cores is 12 minutes for the first
run and 10 seconds for the second. Each run is a process of its own, so its start counts.

With ``--reference``, the anchors are also measured at the reference's settings and compared by
BD-rate (Akima, on means over images, in the range that both curves cover). The file holds
``codecs → name → points``, a list of ``setting, bpp, psnr, msssim``.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tngexp.anchors import ANCHORS
from tngexp.datasets.images import FilePhoto, read_header
from tngexp.evaluation.anchored import measure_anchors
from tngexp.metrics.curves import to_db
from tngexp.metrics.records import ImageRecord, Measurement

TIMED = ("jpeg", "webp", "avif", "jxl", "bpg")
REFERENCE_NAMES = {
    "jpeg": "jpeg420",
    "jpeg444": "jpeg444",
    "jpeg2000": "jp2k",
    "webp": "webp",
    "avif": "avif444",
    "jxl": "jxl",
    "bpg": "bpg444",
    "hevc": "bpg420",  # the nearest there: 4:2:0, but 8 bit
    "vvc": "bpg444",  # nothing near; shows the gain
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the 24 Kodak images")
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--anchors", nargs="+", choices=ANCHORS, default=TIMED)
    parser.add_argument("--cache", type=Path, help="an empty folder; temporary by default")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        run(arguments.folder, arguments.anchors, arguments.cache)
        return
    with tempfile.TemporaryDirectory() as temporary:
        cache = arguments.cache or Path(temporary)
        for which in ("first", "second"):
            timed(which, [sys.executable, *sys.argv, "--once", "--cache", str(cache)])
        records = measured(arguments.folder, arguments.anchors, cache)
        table(records)
        if "bpg" in arguments.anchors:
            against_bpg(points(records))
        if arguments.reference:
            compare(arguments, cache)


def timed(which: str, command: Sequence[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    print(f"{which} run: {wall:.1f} s; processor time {user:.1f} s user, {system:.1f} s system")


def run(folder: Path, anchors: Sequence[str], cache: Path) -> None:
    measured(folder, anchors, cache)


def measured(
    folder: Path,
    anchors: Sequence[str],
    cache: Path,
    settings: Mapping[str, Sequence[float]] | None = None,
) -> list[ImageRecord]:
    paths = sorted(folder.glob("*.png"))
    photos = [FilePhoto(path, path.name, min(read_header(path))) for path in paths]
    result = measure_anchors(anchors, photos, cache, dataset="kodak", settings=settings)
    for line in result.missing:
        print(line, file=sys.stderr)
    return result.records


def points(records: Sequence[ImageRecord]) -> dict[str, dict[float, list[float]]]:
    """Anchor → setting → means of bpp, PSNR, MS-SSIM, seconds to encode and to decode."""
    names = ("bpp", "psnr_db", "ms_ssim", "encode_s", "decode_s")
    groups: dict[str, dict[float, list[Measurement]]] = {}
    for record in records:
        groups.setdefault(record.model, {}).setdefault(record.quality, []).append(record.measured)
    return {
        anchor: {
            setting: [statistics.fmean(getattr(m, name) for m in group) for name in names]
            for setting, group in settings.items()
        }
        for anchor, settings in groups.items()
    }


def table(records: Sequence[ImageRecord]) -> None:
    versions = {record.model: record.versions["codec"] for record in records}
    for anchor, settings in points(records).items():
        print(f"\n{anchor}: {versions[anchor]}")
        print("  setting     bpp    PSNR  MS-SSIM  enc s  dec s")
        for setting, (bpp, psnr_db, similarity, encode_s, decode_s) in settings.items():
            print(
                f"  {setting:7g} {bpp:7.4f} {psnr_db:7.3f} {similarity:8.5f} "
                f"{encode_s:6.3f} {decode_s:6.3f}"
            )


def against_bpg(curves: Mapping[str, Mapping[float, Sequence[float]]]) -> None:
    print("\nagainst bpg: BD-rate at equal PSNR and at equal MS-SSIM")
    rows = {
        anchor: [(bpp, psnr_db, to_db(s)) for bpp, psnr_db, s, *_ in curve.values()]
        for anchor, curve in curves.items()
    }
    for anchor, own in rows.items():
        at_psnr, at_ms_ssim = (bd_rate(rows["bpg"], own, quality) for quality in (1, 2))
        print(f"  {anchor:9} {at_psnr:+7.1%} {at_ms_ssim:+7.1%}")


def compare(arguments: argparse.Namespace, cache: Path) -> None:
    reference = json.loads(arguments.reference.read_text(encoding="utf-8"))["codecs"]
    theirs = {
        anchor: {float(point["setting"]): point for point in reference[name]["points"]}
        for anchor, name in REFERENCE_NAMES.items()
        if anchor in arguments.anchors
    }
    # vvc counts its settings otherwise; bpg's and hevc's stay within the reference's range.
    settings = {anchor: list(theirs[anchor]) for anchor in theirs if anchor != "vvc"}
    ours = points(measured(arguments.folder, list(theirs), cache, settings))
    print("\nagainst the reference: BD-rate at equal PSNR and at equal MS-SSIM")
    for anchor, curve in ours.items():
        rows = [(p["bpp"], p["psnr"], to_db(p["msssim"])) for p in theirs[anchor].values()]
        own = [(bpp, psnr_db, to_db(s)) for bpp, psnr_db, s, *_ in curve.values()]
        name = REFERENCE_NAMES[anchor]
        print(f"  {anchor:9} {name:8} {bd_rate(rows, own, 1):+7.2%} {bd_rate(rows, own, 2):+7.2%}")


def bd_rate(
    reference: Sequence[tuple[float, ...]], curve: Sequence[tuple[float, ...]], quality: int
) -> float:
    from bjontegaard import bd_rate as percent

    rows = [sorted(points) for points in (reference, curve)]
    columns = [[row[column] for row in curve] for curve in rows for column in (0, quality)]
    return percent(*columns, method="akima", require_matching_points=False) / 100


if __name__ == "__main__":
    main()
