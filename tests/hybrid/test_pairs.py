"""Training pairs: real files, chosen by the sample's number alone."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support import photo
from torch import Tensor

from tngexp.anchors import Anchor, anchor
from tngexp.anchors.pillow import PillowAnchor
from tngexp.datasets.crops import CropDataset
from tngexp.hybrid import pairs as module
from tngexp.hybrid.model import BASES, condition_of
from tngexp.hybrid.origin import read_origin
from tngexp.hybrid.pairs import PairMaker, coded, setting_at
from tngexp.hybrid.scaling import Downscale, enlarged, smaller
from tngexp.post.base import CODECS
from tngexp.types import ConfigError


def crop(side: int = 48) -> Tensor:
    return torch.from_numpy(np.array(photo(side, side))).permute(2, 0, 1).contiguous()


def equal(left: module.Pair, right: module.Pair) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_a_pair_follows_from_its_number() -> None:
    make = PairMaker(["jpeg", "webp"], (1, 2), seed=3)
    again = pickle.loads(pickle.dumps(PairMaker(["jpeg", "webp"], (1, 2), seed=3)))
    pairs = [make(crop(), number) for number in range(12)]
    assert all(equal(pair, again(crop(), n)) for n, pair in enumerate(pairs))
    assert not all(equal(a, b) for a, b in itertools.pairwise(pairs))
    other = PairMaker(["jpeg", "webp"], (1, 2), seed=4)
    assert not all(equal(pair, other(crop(), n)) for n, pair in enumerate(pairs))


def test_a_pair_is_what_the_codec_makes_of_the_crop() -> None:
    codec = anchor("jpeg")
    pair = PairMaker(["jpeg"])(crop(), 0)
    files = [codec.encode(np.array(photo(48, 48)), s) for s in range(1, 96)]
    matching = [
        data
        for data in files
        if np.array_equal(codec.decode(data), pair.decoded.permute(1, 2, 0).numpy())
    ]
    assert torch.equal(pair.original, crop())
    assert any(float(pair.bpp) == pytest.approx(8 * len(d) / 48**2) for d in matching)
    assert any(torch.equal(pair.condition, condition_of(read_origin(d))) for d in matching)


def test_codecs_factors_and_settings_are_drawn_evenly() -> None:
    make = PairMaker(["jpeg", "webp"], (1, 1.5, 2))
    conditions = torch.stack([make(crop(32), number).condition for number in range(400)])
    told = conditions[:, -1] == 1
    assert 0.05 < 1 - told.float().mean() < 0.16  # one in ten is not told
    assert (conditions[~told, :-2] == 0).all()
    families = Counter(CODECS[int(c[: len(CODECS)].argmax())] for c in conditions[told])
    assert families.keys() == {"jpeg", "webp"}
    assert min(families.values()) > 130
    factors = Counter(round(2 ** float(c[-2]), 2) for c in conditions)
    assert factors.keys() == {1.0, 1.5, 2.0}
    assert min(factors.values()) > 100
    steps = conditions[told][:, len(CODECS)]
    assert len(set(steps.tolist())) > 50


@pytest.mark.parametrize("name", BASES)
def test_settings_cover_the_range_by_rising_rate(name: str) -> None:
    codec = anchor(name)
    settings = [setting_at(codec, place) for place in np.linspace(0, 1, 41)]
    for setting in settings:
        codec.parameter.check(setting, name)
    rising = 1 if codec.settings[-1] > codec.settings[0] else -1
    assert all(rising * (b - a) >= 0 for a, b in itertools.pairwise(settings))
    assert settings[0] == codec.settings[0]
    assert rising * (settings[-1] - codec.settings[-1]) > 0  # photos that people have lie there
    middle = codec.settings[5]
    assert min(abs(s - middle) for s in settings) <= 3


def test_a_smaller_picture_comes_back_in_its_size() -> None:
    rgb = np.asarray(photo(45, 31))
    for factor in (1.0, 1.5, 2.0):
        made = coded(anchor("jpeg"), rgb, 90, factor)
        assert made.decoded.shape == rgb.shape
        error = np.abs(made.decoded.astype(int) - rgb).mean()
        assert error < 25
        if factor > 1:
            unscaled = coded(anchor("jpeg"), rgb, 90)
            assert made.nbytes < unscaled.nbytes


def test_scaling_rounds_up_and_returns() -> None:
    rgb = np.asarray(photo(45, 31))
    assert smaller(rgb, 1.5).shape == (21, 30, 3)
    assert smaller(rgb, 2).shape == (16, 23, 3)
    assert smaller(rgb, 1) is rgb
    assert enlarged(rgb, 31, 45) is rgb
    flat = np.full((20, 30, 3), 77, np.uint8)
    assert (enlarged(smaller(flat, 1.5), 20, 30) == 77).all()


@pytest.mark.parametrize("factors", [[], [3], [1, 0.5], [True]])
def test_other_factors_are_refused(factors: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"pre\.factors=.* must be some of 1, 1\.5, 2"):
        Downscale(factors)


@dataclass(frozen=True)
class StoredPhoto:
    """A picture of the test's own."""

    name: str
    short_side: int = 40

    def decode(self) -> NDArray[np.uint8]:
        return np.array(photo(40 + len(self.name), 40 + ord(self.name[0]) - ord("a")))


class Counting:
    """Counts what a codec is asked to code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        encode = PillowAnchor._encode

        def counted(codec: PillowAnchor, rgb: NDArray[np.uint8], setting: float) -> bytes:
            self.calls += 1
            return encode(codec, rgb, setting)

        monkeypatch.setattr(PillowAnchor, "_encode", counted)


def test_files_of_slow_codecs_are_coded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW", {"webp"})
    counting = Counting(monkeypatch)
    make = PairMaker(["webp"], cache=tmp_path)
    first = [make(crop(), number) for number in range(3)]
    assert counting.calls == 3
    files = sorted(path for path in tmp_path.rglob("*.webp"))
    assert len(files) == 3
    again = PairMaker(["webp"], cache=tmp_path)
    assert all(equal(a, again(crop(), n)) for n, a in enumerate(first))
    assert counting.calls == 3
    files[0].write_bytes(files[0].read_bytes()[:20])  # as a full disk leaves it
    assert all(equal(a, again(crop(), n)) for n, a in enumerate(first))
    assert counting.calls == 4
    again(crop(40), 0)  # other pixels
    assert counting.calls == 5


def test_slow_codecs_begin_again_and_fast_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW", {"webp"})
    make = PairMaker(["jpeg", "webp"], cache=tmp_path, pool=8)
    again = [make.crop_number(number) for number in range(64)]
    drawn = [make._drawn(number)[0].name for number in range(64)]
    assert [n for n, name in enumerate(drawn) if name == "jpeg"] == [
        again[n] for n, name in enumerate(drawn) if name == "jpeg"
    ]
    assert {again[n] for n, name in enumerate(drawn) if name == "webp"} == set(range(8))
    for number in range(64):
        make(crop(), number)  # of which crop the data set takes crop_number
    assert len(list(tmp_path.rglob("*.webp"))) == 8
    unkept = PairMaker(["webp"], pool=8)
    assert [unkept.crop_number(number) for number in range(20)] == list(range(20))


def test_a_data_set_takes_the_crop_that_is_asked_for() -> None:
    class Make:
        def crop_number(self, number: int) -> int:
            return number % 2

        def __call__(self, sample: Tensor, number: int) -> tuple[Tensor, int]:
            return sample, number

    photos = [StoredPhoto("a.png"), StoredPhoto("b.png")]
    plain = CropDataset(photos, 24, seed=1)
    made = CropDataset(photos, 24, seed=1, make=Make())
    for number in range(6):
        sample, told = made[number]
        assert told == number
        assert torch.equal(sample, plain[number % 2])


def test_decoded_pixels_are_kept_of_what_takes_long_to_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW", {"webp"})
    monkeypatch.setattr(module, "_PIPED", {"webp"})
    make = PairMaker(["webp"], cache=tmp_path)
    first = make(crop(), 0)
    decode = PillowAnchor.decode
    monkeypatch.setattr(PillowAnchor, "decode", lambda *_: pytest.fail("decoded again"))
    assert equal(make(crop(), 0), first)
    monkeypatch.setattr(PillowAnchor, "decode", decode)
    (pixels,) = tmp_path.rglob("*.png")
    pixels.write_bytes(pixels.read_bytes()[:50])
    assert equal(make(crop(), 0), first)


def test_fast_codecs_leave_nothing_on_disk(tmp_path: Path) -> None:
    PairMaker(["jpeg"], cache=tmp_path)(crop(), 0)
    assert not list(tmp_path.iterdir())


def test_a_codec_that_is_missing_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PillowAnchor, "missing", lambda self: f"{self.label} is missing: get it")

    def version(self: Anchor) -> str:
        raise AssertionError("asked for the version of what is missing")

    monkeypatch.setattr(PillowAnchor, "version", version)
    with pytest.raises(ConfigError, match="base=webp: WebP is missing: get it"):
        PairMaker(["webp"])
