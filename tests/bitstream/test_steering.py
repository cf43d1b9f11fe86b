"""A search for a target meets it, is never worse than none, and is led to it."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from support import photo, scaled_codec

import tngexp
from tngexp.bitstream import Analysis, ImageCodec
from tngexp.bitstream.effort import Plan, Progress, RefinedImage, Tuning
from tngexp.bitstream.steering import Goal, _at_quality, _between, steer
from tngexp.bitstream.targets import compress_to
from tngexp.coding import read
from tngexp.types import ConfigError, Latents

OBJECTIVE = {"distortion": "mse", "lmbda": 0.01, "lmbda_min": 0.002, "lmbda_max": 0.05}
WIDTH, HEIGHT = 100, 70
SHORT = Plan(20, rate=0.1, hot=0.5, cold=0.1)


@functools.cache
def shipped() -> ImageCodec:
    codec: ImageCodec = tngexp.load("tng-objective")
    return codec


@pytest.fixture
def small() -> ImageCodec:
    codec = scaled_codec("mixed", "quadtree")
    codec.model.objective = OBJECTIVE
    return codec


def psnr(codec: ImageCodec, data: bytes) -> float:
    error = np.asarray(codec.decompress(data), float) - np.asarray(photo(WIDTH, HEIGHT), float)
    return 10 * math.log10(255**2 / (error**2).mean())


def bpp(size: int) -> float:
    return 8 * size / (WIDTH * HEIGHT)


def test_an_effort_makes_the_best_of_a_target() -> None:
    codec, image = shipped(), photo(WIDTH, HEIGHT)
    plain = codec.compress(image, 0.4)
    limit, enough = bpp(len(plain)), psnr(codec, plain) - 1e-6
    better = compress_to(codec, image, "bpp", limit, effort=3)
    assert 0.96 * len(plain) < len(better) <= len(plain)
    assert psnr(codec, better) > psnr(codec, plain) + 0.05
    smaller = compress_to(codec, image, "psnr", enough, effort=3)
    assert enough <= psnr(codec, smaller) < enough + 0.15
    assert len(smaller) < 0.99 * len(plain)


def test_one_seed_one_file() -> None:
    codec, image = shipped(), photo(WIDTH, HEIGHT)
    files = [compress_to(codec, image, "psnr", 27, effort=2, seed=seed) for seed in (1, 1)]
    assert files[0] == files[1]


@pytest.mark.parametrize(("target", "factor"), [("bpp", 0.2), ("psnr", 3.0)])
def test_a_search_that_meets_the_target_and_harms_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
    target: Literal["bpp", "psnr"],
    factor: float,
) -> None:
    """Small files of worse pictures; pictures that are good enough in larger files."""

    def harmful(model: object, analysis: Analysis, *_: Any, **__: Any) -> RefinedImage:
        tiles = tuple(t._replace(y=factor * t.y) for t in start.tiles)
        return RefinedImage(replace(analysis, tiles=tiles), True)

    codec = shipped()
    monkeypatch.setattr("tngexp.bitstream.steering.refine_image", harmful)
    start = codec.analyse(photo(WIDTH, HEIGHT), 0.5)
    goal = Goal(target, 30.0, lambda data: bpp(len(data)) if target == "bpp" else 31.0)
    plain = codec.write(start)
    assert (len(codec.write(start.map(lambda t: t._replace(y=factor * t.y)))) < len(plain)) == (
        target == "bpp"
    )
    assert steer(codec, start, plain, goal, SHORT) == plain


def led(
    codec: ImageCodec, monkeypatch: pytest.MonkeyPatch, goal: Goal, factor: float
) -> tuple[list[float], list[int]]:
    """λ and quality of each stretch of a search that multiplies the latents by ``factor``."""
    lmbdas, qualities = [], []
    start = codec.analyse(photo(WIDTH, HEIGHT), 0.5)

    def stretch(model: object, analysis: Analysis, tuning: Tuning, *_: Any, **__: Any) -> Any:
        assert analysis.quality is not None
        lmbdas.append(tuning.lmbda)
        qualities.append(analysis.quality)
        tiles = tuple(t._replace(y=factor * t.y) for t in start.tiles)
        return RefinedImage(replace(analysis, tiles=tiles), True)

    monkeypatch.setattr("tngexp.bitstream.steering.refine_image", stretch)
    steer(codec, start, codec.write(start), goal, SHORT)
    return lmbdas, qualities


def assert_led(lmbdas: list[float], qualities: list[int], rises: bool) -> None:
    """From one stretch to the next as far as there are qualities, λ along with them."""
    assert qualities[0] == 128
    for one, other in itertools.pairwise(qualities):
        assert other > one if rises else other < one
    wanted = [0.002 * 25 ** (q / 255) for q in qualities]  # λ from 0.002 to 0.05
    assert lmbdas == pytest.approx(wanted)


@pytest.mark.parametrize(("factor", "rises"), [(0.5, True), (2.0, False)])
def test_a_file_below_a_size_raises_quality_and_lambda(
    small: ImageCodec, monkeypatch: pytest.MonkeyPatch, factor: float, rises: bool
) -> None:
    size = len(small.compress(photo(WIDTH, HEIGHT), 0.5))
    goal = Goal("bpp", bpp(size), lambda data: bpp(len(data)))
    lmbdas, qualities = led(small, monkeypatch, goal, factor)
    assert 3 <= len(lmbdas) <= 5  # two stretches, and up to three ends on one side
    assert_led(lmbdas, qualities, rises)


@pytest.mark.parametrize(("reached", "rises"), [(20.0, True), (40.0, False)])
def test_what_is_not_good_enough_raises_quality_and_lambda(
    small: ImageCodec, monkeypatch: pytest.MonkeyPatch, reached: float, rises: bool
) -> None:
    lmbdas, qualities = led(small, monkeypatch, Goal("psnr", 30.0, lambda data: reached), 1.0)
    assert_led(lmbdas, qualities, rises)


def test_between_two_ends_it_is_halved(small: ImageCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends of half and twice the latents in turns: what is coded comes ever nearer."""
    size = len(small.compress(photo(WIDTH, HEIGHT), 0.5))
    start, calls, sizes = small.analyse(photo(WIDTH, HEIGHT), 0.5), [0], []

    def stretch(*_: Any, **__: Any) -> RefinedImage:
        calls[0] += 1
        factor = 0.5 if calls[0] % 2 else 2.0
        return RefinedImage(start.map(lambda t: t._replace(y=factor * t.y)), True)

    def measure(data: bytes) -> float:
        sizes.append(len(data))
        return bpp(len(data))

    monkeypatch.setattr("tngexp.bitstream.steering.refine_image", stretch)
    goal = Goal("bpp", bpp(size), measure)
    steer(small, start, small.write(start), goal, SHORT)
    assert calls[0] == 4
    assert 6 <= len(sizes) <= 10
    assert abs(sizes[-1] / size - 1) < 0.1 * abs(sizes[4] / size - 1)


@torch.no_grad()
def test_latents_follow_to_another_quality(small: ImageCodec) -> None:
    image = photo(WIDTH, HEIGHT)
    with torch.no_grad():
        small.model.rate.log_gain_encoder.mul_(1.3)
    found = _at_quality(small.analyse(image, 0.2), small.model.rate, 200)
    wanted = small.analyse(image, 200 / 255)
    assert found.quality == wanted.quality == 200
    for one, other in zip(found.tiles, wanted.tiles, strict=True):
        torch.testing.assert_close(one.y, other.y)
    assert _at_quality(found, small.model.rate, 300).quality == 255
    other = found.map(lambda t: Latents(3 * t.y, None if t.z is None else 3 * t.z))
    for tile, middle in zip(found.tiles, _between(found, other).tiles, strict=True):
        for part, half in zip(tile, middle, strict=True):
            torch.testing.assert_close(2 * part, half)


def test_an_interruption_leaves_the_best_that_meets_the_target() -> None:
    codec, image = shipped(), photo(WIDTH, HEIGHT)
    shares: list[float] = []
    steps: list[Progress] = []

    def tell(step: Progress) -> None:
        steps.append(step)
        if len(steps) == 9:
            raise KeyboardInterrupt

    stopped = compress_to(codec, image, "psnr", 27, effort=2, tell=tell, progress=shares.append)
    assert len(steps) == 9
    assert psnr(codec, stopped) >= 27
    assert len(stopped) <= len(compress_to(codec, image, "psnr", 27))
    assert shares == sorted(shares)
    assert shares[-1] < 1
    assert read(stopped).width == WIDTH


def test_a_tile_may_be_too_small_for_the_distortion(
    small: ImageCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tngexp.bitstream.analysis._TILE", 12)
    monkeypatch.setattr("tngexp.bitstream.targets.plan_of", lambda effort: SHORT._replace(steps=2))
    small.model.objective = OBJECTIVE | {"distortion": "msssim"}
    shares: list[float] = []
    data = compress_to(small, photo(242, 176), "bpp", 100, effort=1, progress=shares.append)
    assert (read(data).width, len(read(data).streams)) == (242, 2)
    assert shares[-1] == 1


def test_progress_ends_with_one(small: ImageCodec) -> None:
    shares: list[float] = []
    compress_to(small, photo(60, 50), "bpp", 1.0, effort=1, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_what_cannot_be_searched_is_said_before_anything_is_coded(
    small: ImageCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageCodec, "compress", None)
    for options, message in (
        ({"effort": 1, "tune": "msssim"}, "too small to search for msssim"),
        ({"effort": 1, "tune": "ssim"}, "tune must be one of"),
        ({"effort": 10}, "effort must be a whole number"),
    ):
        with pytest.raises(ConfigError, match=message):
            compress_to(small, photo(60, 50), "bpp", 1, **options)
