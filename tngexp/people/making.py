"""A page that asks people: which of two pictures of equal bytes is closer to the original."""

from __future__ import annotations

import hashlib
import itertools
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

import tngexp
from tngexp.anchors import Anchor, anchor
from tngexp.common import terminal
from tngexp.common.configuration import cache_folder
from tngexp.common.folders import shown_path
from tngexp.common.options import as_list
from tngexp.datasets.images import Photo, Pixels
from tngexp.evaluation import Model, RecordFile, at_looks, load_models, photos_to_measure
from tngexp.evaluation.anchored import decode_record
from tngexp.evaluation.codecs import reconstruction
from tngexp.evaluation.photos import pixels_of
from tngexp.evaluation.progress import image_progress
from tngexp.evaluation.viewer import choose_photos
from tngexp.metrics.records import ImageRecord
from tngexp.people.key import Pair, Side, Study, check_key, write_study
from tngexp.people.matching import anchor_near, codec_near
from tngexp.people.options import AMONG_CODECS, connected, label_of, plain_options
from tngexp.report.ballot import Ballot, BallotPair, write_ballot
from tngexp.report.table import Cell, Column, Table, number
from tngexp.report.text import print_table
from tngexp.types import ConfigError

__all__ = ["StudyMade", "make_study", "ruined", "show_study"]

_LARGEST = 512  # px a side: two of them stand side by side on a laptop, pixel for pixel
_SMALLEST = 16
_BLOCK = 8  # px; a side of the squares of a ruined picture


class StudyMade(NamedTuple):
    """What was made and where it lies."""

    study: Study
    page: Path
    key: Path
    table: Table
    notes: list[str]  # what was left out, and why


@dataclass(frozen=True, eq=False)
class _Cut:
    """The centre of a photo, in memory."""

    name: str
    rgb: Pixels  # (H, W, 3)

    @property
    def short_side(self) -> int:
        return min(self.rgb.shape[:2])

    def decode(self) -> Pixels:
        return self.rgb


class _Version(NamedTuple):
    """A photo as a codec gave it back."""

    record: ImageRecord
    rgb: Pixels


def make_study(config: DictConfig | Mapping[str, Any]) -> StudyMade:
    """Code photos to equal bytes and write the page that asks about them, and its key.

    Photos are cut first and coded then: the bytes are those of what is shown.

    Args:
        config: ``conf/study.yaml``.

    Raises:
        TngexpError: for options, photos or codecs that make no study, and for a folder with the key
            of another study; the message says the fix.
    """
    plain = _checked_options(config)
    out = Path(plain["out"])
    anchors, notes = _anchors(plain["anchors"])
    places = [] if plain["runs"] is None else plain["runs"]
    if not isinstance(places, Mapping):
        places = as_list("runs", places)
    models = load_models(places) if places else []
    models = at_looks(models, plain["looks"], plain["look_from"])
    curves = _curves(models, anchors)
    if len(curves) < 2:
        names = f"only {next(iter(curves))}" if curves else "none"
        raise ConfigError(
            f"a study compares at least two codecs, and there is {names}: add a codec to runs, or "
            "an anchor, anchors=[jpeg,avif]" + "".join(f" ({note})" for note in notes)
        )
    reference = _reference(curves, plain["reference"], notes)
    dataset, photos = photos_to_measure(plain["data"], plain["held_out"])
    cuts = _cut(choose_photos(photos, plain["images"], "images", 1), plain["size"])

    height, width = cuts[0].rgb.shape[:2]
    study = Study(
        codecs=tuple(curves),
        pairs=(),
        catches=tuple(cut.name for cut in cuts) if plain["catches"] else (),
        size=(width, height),
        catch_trials=plain["catches"],
        reference=reference,
        about={
            "dataset": dataset,
            "bpp": plain["bpp"],
            "tolerance": plain["tolerance"],
            "command": terminal.valid(shlex.join(sys.argv)),
            "tngexp": tngexp.__version__,
        },
    )
    page, key = out / "study.html", out / "study.json"
    check_key(key, study)

    versions = _code(curves, cuts, plain, out, dataset)
    pairs, left_out = _pairs(list(curves), cuts, versions, plain["tolerance"])
    notes += left_out
    study = replace(study, pairs=tuple(pairs), about={**study.about, "notes": notes})
    check_key(key, study)
    write_study(study, key)
    write_ballot(page, _ballot(study, cuts, versions, plain["trials"]))
    return StudyMade(study, page, key, _table(study, cuts, versions), notes)


def show_study(made: StudyMade) -> None:
    """Print what is compared, what was left out, and where everything is."""
    print_table(terminal.console(), made.table)
    for note in made.notes:
        print(f"note: {note}")
    mebibytes = made.page.stat().st_size / 2**20
    print(f"page for people in {shown_path(made.page)} ({mebibytes:.1f} MiB)")
    print(f"key to their answers in {shown_path(made.key)}: it names the codecs, keep it back")
    print("next: python -m tngexp.study results=[FILES]" + _out(made.key.parent))


def _out(folder: Path) -> str:
    shown = shown_path(folder)
    return "" if shown == "study" else f" out={shlex.quote(shown)}"


def _checked_options(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    plain = plain_options(config)
    for name, least, example in (
        ("bpp", 0, "bpp=0.15"),
        ("tolerance", 0, "tolerance=0.1"),
        ("trials", 0, "trials=60"),
    ):
        if not plain[name] > least:
            raise ConfigError(f"{name}={plain[name]} must be above {least}, e.g. {example}")
    if plain["catches"] < 0:
        raise ConfigError(f"catches={plain['catches']} must be 0 or more")
    size = plain["size"]
    if size is not None and not (
        isinstance(size, list)
        and len(size) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= _SMALLEST for n in size)
    ):
        raise ConfigError(
            f"size={size!r} must be width and height in pixels, each at least {_SMALLEST}, "
            "e.g. size=[512,512]"
        )
    return plain


def _anchors(names: Sequence[str]) -> tuple[list[Anchor], list[str]]:
    """The anchors that can run, and a line for each that cannot."""
    made = {name: anchor(name) for name in names}
    lines = {name: one.missing() for name, one in made.items()}
    return (
        [one for name, one in made.items() if lines[name] is None],
        [line for line in lines.values() if line is not None],
    )


def _curves(models: Sequence[Model], anchors: Sequence[Anchor]) -> dict[str, list[Model] | Anchor]:
    """Codecs by label: trained ones with the points of their curve."""
    curves: dict[str, list[Model] | Anchor] = {}
    for model in models:
        group = curves.setdefault(model.curve, [])
        assert isinstance(group, list)
        group.append(model)
    for one in anchors:
        # A trained codec may be called as an anchor is.
        label = one.label if one.label not in curves else AMONG_CODECS.format(one.label)
        curves[label] = one
    return curves


def _cut(photos: Sequence[Photo], size: list[int] | None) -> list[_Cut]:
    """The centres of photos, all of one size.

    Raises:
        ConfigError: for photos that differ in size or are smaller than ``size``.
    """
    whole = [_Cut(photo.name, pixels_of(photo)) for photo in photos]
    sides = [(cut.rgb.shape[1], cut.rgb.shape[0]) for cut in whole]
    least = [min(_LARGEST, *(side[axis] for side in sides)) for axis in (0, 1)]
    fix = f"size=[{least[0]},{least[1]}] shows the same centre part of each"
    if size is None:
        shown = {
            (min(_LARGEST, w), min(_LARGEST, h)): cut.name
            for cut, (w, h) in zip(whole, sides, strict=True)
        }
        if len(shown) > 1:
            (first, one), (other, two), *_ = shown.items()
            raise ConfigError(
                f"the photos are of unequal size ({one}: {first[0]}×{first[1]}, {two}: "
                f"{other[0]}×{other[1]}), which would tell them apart; {fix}"
            )
        size = list(next(iter(shown)))
    width, height = size
    for cut, (w, h) in zip(whole, sides, strict=True):
        if w < width or h < height:
            raise ConfigError(f"size=[{width},{height}]: {cut.name} has only {w}×{h} pixels; {fix}")
    return [_Cut(cut.name, _centre(cut.rgb, width, height)) for cut in whole]


def _centre(rgb: Pixels, width: int, height: int) -> Pixels:
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return np.ascontiguousarray(rgb[top : top + height, left : left + width])


def _code(
    curves: Mapping[str, list[Model] | Anchor],
    cuts: Sequence[_Cut],
    config: Mapping[str, Any],
    out: Path,
    dataset: str,
) -> dict[tuple[str, str], _Version]:
    """Of every codec (label) and photo (name) the file nearest to the wanted rate, decoded."""
    records = RecordFile(out / "records.jsonl")
    files, cache = out / "files", cache_folder(config["cache"]) / "anchors"
    found = {}
    with image_progress() as advance:
        for done, (label, cut) in enumerate(itertools.product(curves, cuts)):
            advance(done, len(curves) * len(cuts))
            coder = curves[label]
            target = config["bpp"] * cut.rgb.shape[0] * cut.rgb.shape[1] / 8
            if isinstance(coder, list):
                record = codec_near(coder, cut, target, records, files, dataset)
                model = next(model for model in coder if model.key == record.codec_key)
                rgb = reconstruction(model, record.file_in(files))
            else:
                record = anchor_near(coder, cut, target, cache, dataset)
                rgb = decode_record(cache, record)
            found[label, cut.name] = _Version(record, rgb)
        advance(len(found), len(found))
    return found


def _pairs(
    labels: Sequence[str],
    cuts: Sequence[_Cut],
    versions: Mapping[tuple[str, str], _Version],
    tolerance: float,
) -> tuple[list[Pair], list[str]]:
    """Every pair of files of equal bytes, and a line about those that are not.

    Raises:
        ConfigError: when the pairs leave codecs without a common scale.
    """
    kept: list[Pair] = []
    notes: list[str] = []
    unequal: list[Pair] = []
    for one, other in itertools.combinations(labels, 2):
        all_of_two = [
            Pair(
                cut.name,
                _side(one, versions[one, cut.name]),
                _side(other, versions[other, cut.name]),
            )
            for cut in cuts
        ]
        out = [pair for pair in all_of_two if pair.excess > tolerance]
        kept += [pair for pair in all_of_two if pair.excess <= tolerance]
        unequal += out
        if out:
            least, most = min(p.excess for p in out), max(p.excess for p in out)
            notes.append(
                f"left out: {one} against {other} on {len(out)} of {len(cuts)} photos, where "
                f"the larger file has {100 * least:.0f} to {100 * most:.0f} % more bytes"
            )
    groups = connected(labels, [(pair.a.codec, pair.b.codec) for pair in kept])
    if len(groups) > 1:
        group_of = {label: index for index, group in enumerate(groups) for label in group}
        between = [p for p in unequal if group_of[p.a.codec] != group_of[p.b.codec]]
        closest = min(between, key=lambda pair: pair.excess)
        raise ConfigError(
            f"no file of {' or '.join(groups[0])} has the bytes of one of "
            f"{' or '.join(label for group in groups[1:] for label in group)}; the nearest are "
            f"{closest.a.bytes:,} and {closest.b.bytes:,} bytes of {closest.photo} "
            f"({closest.a.codec} and {closest.b.codec}, {100 * closest.excess:.0f} % apart). Fix: "
            f"a rate that all of them reach, bpp=…, or fewer codecs"
        )
    return kept, notes


def _side(label: str, version: _Version) -> Side:
    digest = hashlib.sha256(np.ascontiguousarray(version.rgb).tobytes()).hexdigest()
    return Side(label, version.record.setting, version.record.measured.bytes, digest)


def _reference(
    curves: Mapping[str, list[Model] | Anchor], wanted: str | None, notes: Sequence[str]
) -> str:
    """The codec whose score is 0 where it can be: chosen as ``tngexp.compare`` does."""
    if wanted is not None:
        return label_of(wanted, tuple(curves), notes)
    anchors = {label: one for label, one in curves.items() if isinstance(one, Anchor)}
    bpg = [label for label, one in anchors.items() if one.name == "bpg"]
    return next(iter([*bpg, *anchors, *curves]))


def ruined(rgb: Pixels) -> Pixels:
    """A picture (H, W, 3) of squares of 8×8 pixels, each of its mean colour.

    Nobody who looks takes it for the one closer to the original.
    """
    height, width = rgb.shape[:2]
    padded = np.pad(rgb, ((0, -height % _BLOCK), (0, -width % _BLOCK), (0, 0)), mode="edge")
    rows, columns = padded.shape[0] // _BLOCK, padded.shape[1] // _BLOCK
    means = padded.reshape(rows, _BLOCK, columns, _BLOCK, 3).mean((1, 3))
    blocks: NDArray[Any] = means.round().repeat(_BLOCK, 0).repeat(_BLOCK, 1)
    return blocks.astype(np.uint8)[:height, :width]


def _ballot(
    study: Study,
    cuts: Sequence[_Cut],
    versions: Mapping[tuple[str, str], _Version],
    trials: int,
) -> Ballot:
    originals = {cut.name: cut.rgb for cut in cuts}
    groups: dict[frozenset[str], int] = {}
    pairs = [
        BallotPair(
            id=pair.id,
            group=groups.setdefault(frozenset((pair.a.codec, pair.b.codec)), len(groups)),
            original=originals[pair.photo],
            a=versions[pair.a.codec, pair.photo].rgb,
            b=versions[pair.b.codec, pair.photo].rgb,
        )
        for pair in study.pairs
    ]
    catches = [
        BallotPair(
            study.catch_id(name), 0, originals[name], originals[name], ruined(originals[name])
        )
        for name in study.catches
    ]
    return Ballot(study.id, pairs, catches, min(trials, len(pairs)), study.catch_trials)


def _table(
    study: Study, cuts: Sequence[_Cut], versions: Mapping[tuple[str, str], _Version]
) -> Table:
    rows = []
    for label in study.codecs:
        measured = [versions[label, cut.name].record.measured for cut in cuts]
        rates = [m.bpp for m in measured]
        pairs = sum(label in (pair.a.codec, pair.b.codec) for pair in study.pairs)
        rows.append(
            (
                Cell(label, label),
                number(sum(rates) / len(rates), 4),
                number(min(rates), 4),
                number(max(rates), 4),
                Cell(f"{pairs}", pairs),
            )
        )
    width, height = study.size
    return Table(
        "study",
        f"{len(study.pairs)} pairs of {len(cuts)} photos, {width}×{height} pixels",
        (
            Column("codec", numeric=False),
            *(Column(name) for name in ("mean bpp", "lowest", "highest", "pairs")),
        ),
        tuple(rows),
    )
