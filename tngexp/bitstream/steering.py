"""A search at encode time, steered so that the file meets a target.

A search at the quality that meets a target without one moves size and fidelity at once: by much on
one photo and by little on the next. So it is interrupted twice and the image really coded as it is
then; what that file misses or leaves unused moves the quality, and λ with it. The second half is
taken again with others until one end meets the target and another does not; between those two the
latents are halved.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor

from tngexp.bitstream.analysis import Analysis
from tngexp.bitstream.coder import ImageCodec
from tngexp.bitstream.effort import Plan, Progress, refine_image, tuning_of
from tngexp.bitstream.progress import Share, part
from tngexp.coding import index_to_quality
from tngexp.pixels import to_picture
from tngexp.rate import Rate
from tngexp.types import Latents

__all__ = ["Goal", "Target", "steer"]

Target = Literal["bpp", "psnr", "ms_ssim"]

_CUTS = (0.3, 0.5)
"""Shares of the steps after which quality and λ are set anew. From a third of the steps on, a coded
image is within a few percent of what it will be in the end."""

_OF_RATE, _OF_DISTORTION = 0.6, 0.4
"""How ln(rate) and ln(distortion) follow ln(λ) where the quality goes with it; of tng-objective-1
at 0.15 bpp."""

_ENDS = 3  # at most
_BEYOND = 3.0  # times what an end misses: the next is to come out on the other side
_MOST = 1.5  # change of ln(λ) at once
_HALVINGS = 5
_CLOSE = 0.001  # of the bits or the distortion that a target allows: near enough


class Goal(NamedTuple):
    """What a file is to reach."""

    target: Target
    value: float  # bits per pixel, dB, or MS-SSIM
    measure: Callable[[bytes], float]  # of a file, in the unit of ``value``

    @property
    def size(self) -> bool:
        """Whether the target is a size, and the best file within it is wanted, or a fidelity, and
        the smallest that reaches it."""
        return self.target == "bpp"

    def meets(self, reached: float) -> bool:
        """Whether that is good enough."""
        return reached <= self.value if self.size else reached >= self.value

    def miss(self, reached: float) -> float:
        """ln of the rate or the distortion over what the target allows, above 0 for a miss."""
        if self.target == "bpp":
            return math.log(reached / self.value)
        if self.target == "psnr":
            return (self.value - reached) * math.log(10) / 10
        return math.log(max(1 - reached, 1e-9) / max(1 - self.value, 1e-9))


@torch.no_grad()
def steer(
    codec: ImageCodec,
    analysis: Analysis,
    file: bytes,
    goal: Goal,
    plan: Plan,
    *,
    tune: str | None = None,
    seed: int = 0,
    tell: Callable[[Progress], None] | None = None,
    progress: Share | None = None,
) -> bytes:
    """The best file for a target among those that a search comes by; never worse than ``file``.

    Takes 1 to 2 times the steps of the schedule and at most ten codings, of which those that meet
    the target are decoded. An interruption (KeyboardInterrupt) ends it with the best file until
    then, and ``progress`` is not told 1.

    Args:
        codec: of variable rate, in evaluation mode.
        analysis: of the image, at a quality that meets the target.
        file: of ``analysis``.
        goal: the target.
        plan: the schedule.
        tune: the distortion to search for; None for the codec's own. Where the target is a size,
            the best file is the one with the least of it.
        seed: of the draws.
        tell: told after each step; counts anew after each coding in between.
        progress: told which share of the work is done, at most.

    Raises:
        ConfigError: as :func:`tngexp.bitstream.effort.refine_image`.
    """
    # All of the steps is not all of the work: codings follow, which may be interrupted, too.
    steps = part(progress, 0, 0.95)
    search = _Search(codec, goal, plan, file, analysis, tune, seed, tell, steps)
    try:
        search.run()
    except KeyboardInterrupt:
        return search.best
    part(progress, 0, 1)(1.0)
    return search.best


class _End(NamedTuple):
    """Where a stretch of a search has led."""

    analysis: Analysis
    miss: float


@final
class _Search:
    """The stretches of one search, and the best of the files that it has coded."""

    def __init__(
        self,
        codec: ImageCodec,
        goal: Goal,
        plan: Plan,
        file: bytes,
        start: Analysis,
        tune: str | None,
        seed: int,
        tell: Callable[[Progress], None] | None,
        progress: Share | None,
    ) -> None:
        self._codec, self._goal, self._plan, self._start = codec, goal, plan, start
        self._tune, self._seed, self._tell, self._progress = tune, seed, tell, progress
        self._cuts = sorted({0, *(round(share * plan.steps) for share in _CUTS)})
        rest = plan.steps - self._cuts[-1]
        self._most = plan.steps + (_ENDS - 1) * rest
        self._done = 0  # steps
        self.best, self._rank = file, self._ranked(file, goal.measure(file))

    def run(self) -> None:
        """Search, and fill ``best``."""
        state = self._start
        for first, last in itertools.pairwise(self._cuts):
            state, miss = self._stretch(state, first, last)
            # Rounded to where the target is met.
            rounded = math.floor if self._goal.size else math.ceil
            state = self._moved(state, rounded(self._change(miss)))
        ends = self._ends(state)
        meeting = [end for end in ends if end.miss <= 0]
        missing = [end for end in ends if end.miss > 0]
        if meeting and missing:
            low = max(meeting, key=lambda end: end.miss)
            high = min(missing, key=lambda end: end.miss)
            self._halve(low.analysis, high.analysis)

    def _stretch(self, state: Analysis, first: int, last: int) -> _End:
        """Take some steps, and code the image as it is then.

        Raises:
            KeyboardInterrupt: when it was cut short; what it had is coded all the same.
        """
        stop = self._done + last - first
        found, finished = refine_image(
            *(self._codec.model, state),
            tuning_of(self._codec.model.objective, _quality(state), self._tune),
            self._plan._replace(first=first, last=last),
            seed=self._seed + first,
            tell=self._tell,
            progress=part(self._progress, self._done / self._most, stop / self._most),
        )
        self._done = stop
        miss = self._code(found)
        if not finished:
            raise KeyboardInterrupt
        return _End(found, miss)

    def _change(self, miss: float) -> float:
        """By how much the quality, in 1/255, should change to make good a miss."""
        objective = self._codec.model.objective
        low, high = (tuning_of(objective, q, self._tune).lmbda for q in (0.0, 1.0))
        change = -miss / _OF_RATE if self._goal.size else miss / _OF_DISTORTION  # of ln λ
        return 255 * min(max(change, -_MOST), _MOST) / (math.log(high / low) or math.inf)

    def _moved(self, state: Analysis, change: int) -> Analysis:
        """The same latents at another quality."""
        assert state.quality is not None
        return _at_quality(state, self._codec.model.rate, state.quality + change)

    def _ends(self, state: Analysis) -> list[_End]:
        """The rest of the search, until the target lies between two ends or close to one."""
        ends: list[_End] = []
        while len(ends) < _ENDS:
            end = self._stretch(state, self._cuts[-1], self._plan.steps)
            ends.append(end)
            if -_CLOSE <= end.miss <= 0 or len({e.miss > 0 for e in ends}) == 2:
                break
            change = self._change(_BEYOND * end.miss)
            moved = self._moved(state, math.ceil(change) if change > 0 else math.floor(change))
            if moved.quality == state.quality:
                break  # there is no better or no smaller one
            state = moved
        return ends

    def _halve(self, low: Analysis, high: Analysis) -> None:
        """Try latents between some that meet the target and some that miss it."""
        assert low.quality is not None
        high = _at_quality(high, self._codec.model.rate, low.quality)
        for _ in range(_HALVINGS):
            middle = _between(low, high)
            miss = self._code(middle)
            if -_CLOSE <= miss <= 0:
                break
            low, high = (middle, high) if miss <= 0 else (low, middle)

    def _code(self, analysis: Analysis) -> float:
        """Code an image, keep the file if it is the best so far, and say what it misses."""
        data = self._codec.write(analysis)
        reached = self._goal.measure(data)
        if self._goal.meets(reached):
            rank = self._ranked(data, reached)
            if rank < self._rank:
                self.best, self._rank = data, rank
        return self._goal.miss(reached)

    def _ranked(self, data: bytes, reached: float) -> tuple[float, float]:
        """The less, the better, among files that meet the target."""
        if not self._goal.size:
            return len(data), -reached
        decoded = to_picture(self._codec.decompress(data), exact=True).rgb
        x, x_hat = (_unit(rgb) for rgb in (self._start.picture.rgb, decoded))
        tuning = tuning_of(self._codec.model.objective, _quality(self._start), self._tune)
        return float(tuning.distortion(x, x_hat)), len(data)


def _at_quality(analysis: Analysis, rate: Rate, index: int) -> Analysis:
    """The latents as another quality scales them, in 1/255; the nearest there is."""
    moved = replace(analysis, quality=min(max(index, 0), 255))
    old, new = (torch.tensor([_quality(a)]) for a in (analysis, moved))

    def scaled(latents: Latents) -> Latents:
        one = torch.ones_like(latents.y)
        return latents._replace(y=latents.y * (rate.scale(one, new) / rate.scale(one, old)))

    return moved.map(scaled)


def _between(one: Analysis, other: Analysis) -> Analysis:
    """Midway between latents of one image."""
    others = iter(other.tiles)

    def mean(latents: Latents) -> Latents:
        y, z = next(others)
        assert (z is None) == (latents.z is None)
        between = None if z is None or latents.z is None else (latents.z + z) / 2
        return Latents((latents.y + y) / 2, between)

    return one.map(mean)


def _quality(analysis: Analysis) -> float:
    assert analysis.quality is not None
    return index_to_quality(analysis.quality)


def _unit(rgb: Tensor) -> Tensor:
    """(1, 3, H, W) in 0 … 1 of (3, H, W), uint8."""
    return rgb.unsqueeze(0).float() / 255
