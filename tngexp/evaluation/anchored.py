"""Anchors measured on photos: each point once, many points side by side.

Seconds are those of the first measurement, taken while as many processes ran as there are workers
(by default, processors): good to some tens of percent, which is enough to tell a codec that takes
milliseconds from one that takes seconds.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tngexp.anchors import Anchor, AnchorError
from tngexp.datasets.images import Photo, Pixels
from tngexp.evaluation.anchor_cache import Entry, Point, cached_file, keep, locate, read, sha256
from tngexp.evaluation.measure import measure_coder
from tngexp.evaluation.photos import digest, pixels_of
from tngexp.hybrid.codec import base_name, codec_of, codecs_by_name, codecs_of
from tngexp.metrics.extra import check_metrics
from tngexp.metrics.records import ImageRecord
from tngexp.types import ConfigError, TngexpError

__all__ = ["Anchored", "cached_file", "decode_record", "measure_anchors"]


_WARM: set[str] = set()  # names of the codecs that have coded in this process


class Anchored(NamedTuple):
    """What :func:`measure_anchors` returns."""

    records: list[ImageRecord]  # by anchor, setting and photo, in the order given
    missing: list[str]  # a line per codec that was left out, saying how to get it


def measure_anchors(
    anchors: Sequence[str | Anchor],
    photos: Sequence[Photo],
    cache: Path,
    *,
    dataset: str = "",
    settings: Mapping[str, float | Sequence[float]] | None = None,
    metrics: Sequence[str] = (),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Anchored:
    """Measure codecs on photos, apart from points that ``cache`` holds already.

    Every point is on disk as soon as it is measured, so that work that was interrupted goes on.

    Args:
        anchors: names, see :data:`tngexp.anchors.ANCHORS`, or codecs.
        photos: what to code.
        cache: a folder, created when missing; see :mod:`tngexp.evaluation.anchor_cache`.
        dataset: what the records call the photos' data set.
        settings: anchor's name → settings (or one) instead of its own.
        metrics: names of further metrics, see :func:`tngexp.metrics.extra.extra_metrics`.
        workers: processes; as many as processors by default. One measures in this process.
        progress: called with the points measured so far and those to measure in all.

    Raises:
        ConfigError: for a name, setting or metric that does not exist.
        DataError: for an image that cannot be decoded, by name.
        AnchorError: when a codec fails; the message names the image.
        TngexpError: when a photo is changed while it is measured.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, not {workers}")
    check_metrics(metrics)
    codecs, missing = _available(anchors)
    chosen = _settings(codecs, settings or {})
    versions = {codec.name: codec.version() for codec in codecs}

    rows = []  # one per photo; columns are codecs and their settings
    for index, photo in enumerate(photos):
        original = digest(pixels_of(photo))
        rows.append(
            [
                locate(cache, original, codec, versions[codec.name], setting, metrics, index)
                for codec in codecs
                for setting in chosen[codec.name]
            ]
        )
    entries = {point.entry: read(point) for row in rows for point in row}
    todo: dict[Path, Point] = {}  # an image that occurs twice is measured once
    for point in (point for row in rows for point in row if entries[point.entry] is None):
        todo.setdefault(point.entry, point)
    if progress is not None and todo:
        progress(0, len(todo))
    work = _with_pixels(todo.values(), photos)
    for done, point in enumerate(_measured(work, workers or os.cpu_count() or 1, len(todo)), 1):
        entries[point.entry] = read(point)
        if progress is not None:
            progress(done, len(todo))
    return Anchored(
        [
            _record(point, entries[point.entry], cache, dataset, photos[point.index].name)
            for column in zip(*rows, strict=True)
            for point in column
        ],
        missing,
    )


def decode_record(cache: Path, record: ImageRecord) -> Pixels:
    """The picture of a record of :func:`measure_anchors`, decoded from its cached file.

    Raises:
        TngexpError: when the file is gone, or decodes to other pixels than were measured.
    """
    rgb = codec_of(record.model).decode(cached_file(cache, record))
    if sha256(rgb.tobytes()) != record.measured.reconstruction_sha256:
        raise TngexpError(
            f"{record.file_in(cache)} decodes to other pixels than were measured: it was written "
            f"by {record.versions['codec']}; measure the anchor again"
        )
    return rgb


def _available(anchors: Sequence[str | Anchor]) -> tuple[list[Anchor], list[str]]:
    """The codecs that can run, each once, and lines about those that cannot."""
    named = codecs_by_name(one for one in anchors if isinstance(one, str))
    made = [codec for one in anchors for codec in (named[one] if isinstance(one, str) else [one])]
    # JPEG is a curve of its own beside that of JPEG of any size, which it is a point of.
    unique = {(codec.name, codec.label): codec for codec in made}.values()
    lines = {codec.name: codec.missing() for codec in unique}
    found = [codec for codec in unique if lines[codec.name] is None]
    return found, [line for line in lines.values() if line is not None]


def _settings(codecs: Sequence[Anchor], given: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Settings of each codec, all checked before anything is measured."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"anchor_settings={given!r} must be like {{jpeg:[10,50],webp:[30]}}")
    given = {k: v if isinstance(v, list | tuple) else [v] for k, v in given.items()}
    for name, own in given.items():
        if not own:
            raise ConfigError(
                f"anchor_settings={{{name}:[]}} measures nothing; give settings, or leave "
                f"{name} out of anchors="
            )
    for name in given.keys() - {codec.name for codec in codecs}:
        codecs_of(name)  # a codec that is not measured may have settings, one that is none may not
    settings = {}
    for codec in codecs:
        # With a network behind it, or on smaller pictures, it has those of the codec alone.
        own = given.get(codec.name, given.get(base_name(codec.name), codec.settings))
        settings[codec.name] = tuple(dict.fromkeys(own))
    for codec in codecs:
        for setting in settings[codec.name]:
            codec.parameter.check(setting, codec.name)
    return settings


def _with_pixels(
    points: Iterable[Point], photos: Sequence[Photo]
) -> Iterator[tuple[Point, Pixels, str]]:
    """Points, which come image by image, with the pixels and name of their photo.

    Raises:
        TngexpError: for a photo whose pixels are no longer those that its points are kept under.
    """
    for index, group in itertools.groupby(points, key=lambda point: point.index):
        rgb, name = pixels_of(photos[index]), photos[index].name
        original = digest(rgb)
        for point in group:
            if point.original != original:
                raise TngexpError(f"{name} was changed while it was measured; run again")
            yield point, rgb, name


def _measured(
    work: Iterator[tuple[Point, Pixels, str]], workers: int, count: int
) -> Iterator[Point]:
    """Measure points and yield each when it is on disk."""
    if workers == 1 or count < 2:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the last digit of MS-SSIM depends on it
        try:
            for point, rgb, name in work:
                yield _measure(point, rgb, name)
        finally:
            torch.set_num_threads(threads)
        return
    # Forking a process that has run torch or numba can hang; spawned ones start afresh.
    with ProcessPoolExecutor(
        min(workers, count), mp_context=get_context("spawn"), initializer=_start_worker
    ) as pool:
        pending: set[Future[Point]] = set()
        try:
            for point, rgb, name in work:
                pending.add(pool.submit(_measure, point, rgb, name))
                if len(pending) > 2 * workers:  # waiting points hold their pixels in memory
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise AnchorError(
                "a process that measured anchors was killed, perhaps for want of memory; "
                "try fewer workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; workers are to die of it at once and say nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)


def _measure(point: Point, rgb: Pixels, name: str) -> Point:
    codec = point.anchor
    _warm_up(codec)
    try:
        measurement, data = measure_coder(
            rgb, lambda: codec.encode(rgb, point.setting), codec.decode, point.metrics
        )
    except AnchorError as error:
        raise AnchorError(f"{name}, {codec.describe(point.setting)}: {error}") from error
    keep(point, measurement, data)
    return point


def _warm_up(codec: Anchor) -> None:
    """Have a codec load what it codes with in this process, so that it is not timed with a file."""
    if codec.name not in _WARM:
        _WARM.add(codec.name)
        with contextlib.suppress(TngexpError):  # the first image will tell, by name
            codec.decode(codec.encode(np.zeros((16, 16, 3), np.uint8), codec.settings[0]))


def _record(
    point: Point, entry: Entry | None, cache: Path, dataset: str, image: str
) -> ImageRecord:
    codec = point.anchor
    if entry is None:
        raise TngexpError(f"{point.entry} was deleted meanwhile; measure the anchor again")
    return ImageRecord(
        kind="anchor",
        codec=codec.label,
        setting=codec.describe(point.setting),
        dataset=dataset,
        image=image,
        model=codec.name,
        quality=point.setting,
        measured=entry.measured,
        file=point.file.relative_to(cache).as_posix(),
        file_sha256=entry.file_sha256,
        device="cpu",
        versions={"codec": point.version},
        how=codec.how,
        date=entry.date,
    )
