"""Files of a wanted size or fidelity from a variable-rate codec, by bisection on the quality.

With an effort, a search follows that is steered towards the same target.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tngexp.bitstream import ImageCodec
from tngexp.bitstream.effort import Progress, check_side, plan_of, tuning_of
from tngexp.bitstream.progress import Share, part
from tngexp.bitstream.steering import Goal, Target, steer
from tngexp.coding import index_to_quality
from tngexp.metrics import check_ms_ssim_side, ms_ssim, psnr
from tngexp.pixels import Picture, Source, to_picture
from tngexp.types import ConfigError, TngexpError

__all__ = ["Target", "compress_to"]

_FINEST = 255  # a file says its quality in one byte
_CODINGS = 10  # at most: both ends, and the halvings between them
_UNITS = {"bpp": "bpp", "psnr": "dB PSNR", "ms_ssim": "MS-SSIM"}


def compress_to(
    codec: ImageCodec,
    image: Source,
    target: Target,
    value: float,
    *,
    effort: int = 0,
    tune: str | None = None,
    seed: int = 0,
    tell: Callable[[Progress], None] | None = None,
    exact: bool = False,
    progress: Share | None = None,
) -> bytes:
    """The best file of at most ``value`` bits per pixel, or the smallest that is good enough.

    Takes ten codings at most, with a decoding each for a fidelity.

    Args:
        codec: of variable rate, in evaluation mode.
        image: what to code: whatever ``codec.compress`` takes.
        target: ``"bpp"`` of the whole file, ``"psnr"`` in dB or ``"ms_ssim"`` as a number in 0 … 1,
            both of 8-bit RGB and of what is seen: the squared error is weighted by alpha, and
            MS-SSIM is measured over white.
        value: the target.
        effort: 0 … 9. Above 0 a search from there looks for a better file within the size, or a
            smaller one that is good enough; where it finds none, the result is that of effort 0.
        tune: the distortion to search for: mse, msssim or mixed; None for the codec's own.
        seed: of the search, whose result is the same for the same seed on one machine.
        tell: told after each step of the search. An interruption (KeyboardInterrupt) ends the
            search, not this call, which returns the best that meets the target until then.
        exact: keep the colours that alpha hides, and measure them like the others.
        progress: told which share of the work is done, at most; 1 unless a search was interrupted.

    Raises:
        ConfigError: for another target, a codec of one fixed rate, an image too small for MS-SSIM,
            or an effort that the codec or the image does not take.
        TngexpError: when no quality reaches the target, without a search.
    """
    if target not in _UNITS:
        raise ConfigError(f"target must be one of {', '.join(_UNITS)}, not {target!r}")
    if not codec.model.rate.variable:
        raise ConfigError("a target needs a variable-rate model; this model has one fixed rate")
    plan, picture = plan_of(effort), to_picture(image, exact)
    if target == "ms_ssim":
        check_ms_ssim_side(*picture.rgb.shape[-2:])
    measure = _measure(codec, picture._replace(alpha=None) if exact else picture, target)
    goal = Goal(target, value, measure)
    if plan is None:
        return _bisect(codec, picture, goal, progress)[0]
    check_side(picture.rgb, tuning_of(codec.model.objective, 0.5, tune))
    searching = _CODINGS / (_CODINGS + plan.steps)  # a step takes about as long as a coding
    file, index = _bisect(codec, picture, goal, part(progress, 0, searching))
    analysis = codec.analyse(picture, index_to_quality(index))
    return steer(
        *(codec, analysis, file, goal, plan),
        tune=tune,
        seed=seed,
        tell=tell,
        progress=part(progress, searching, 1),
    )


def _bisect(
    codec: ImageCodec, picture: Picture, goal: Goal, progress: Share | None
) -> tuple[bytes, int]:
    """The file that meets the target, and its quality in 1/255.

    Raises:
        TngexpError: when no quality does.
    """
    codings = (part(progress, n / _CODINGS, (n + 1) / _CODINGS) for n in range(_CODINGS))
    # The end that is sure to be good enough, where any quality is.
    good, bad = (0, _FINEST) if goal.size else (_FINEST, 0)
    best, reached = _code(codec, picture, good, goal, next(codings))
    if not goal.meets(reached):
        raise TngexpError(
            f"this model cannot reach {goal.value:g} {_UNITS[goal.target]} on this image: its "
            f"{'smallest' if goal.size else 'best'} file has {reached:.4g}"
        )
    data, reached = _code(codec, picture, bad, goal, next(codings))
    if goal.meets(reached):
        return data, bad
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        data, reached = _code(codec, picture, middle, goal, next(codings))
        if goal.meets(reached):
            good, best = middle, data
        else:
            bad = middle
    return best, good


def _code(
    codec: ImageCodec, picture: Picture, index: int, goal: Goal, progress: Share
) -> tuple[bytes, float]:
    data = codec.compress(picture, index_to_quality(index), progress=progress)
    return data, goal.measure(data)


def _measure(codec: ImageCodec, picture: Picture, target: Target) -> Callable[[bytes], float]:
    height, width = picture.rgb.shape[-2:]
    if target == "bpp":
        return lambda data: 8 * len(data) / (width * height)
    seen = _seen_psnr if target == "psnr" else _seen_ms_ssim
    return lambda data: seen(picture, to_picture(codec.decompress(data), exact=True).rgb)


def _seen_psnr(picture: Picture, decoded: Tensor) -> float:
    """In dB; infinite where nothing is to be seen."""
    x, x_hat = _unit(picture.rgb), _unit(decoded)
    if picture.alpha is None:
        return float(psnr(x, x_hat))
    weight = torch.from_numpy(picture.alpha).float()
    error = (x - x_hat).square().mean(1)[0]
    return float(-10 * torch.log10((error * weight).sum() / weight.sum().clamp(min=1)))


def _seen_ms_ssim(picture: Picture, decoded: Tensor) -> float:
    x, x_hat = _unit(picture.rgb), _unit(decoded)
    if picture.alpha is not None:
        weight = torch.from_numpy(picture.alpha).float() / 255
        x, x_hat = (weight * y + (1 - weight) for y in (x, x_hat))
    return float(ms_ssim(x, x_hat))


def _unit(rgb: Tensor) -> Tensor:
    """(1, 3, H, W) in 0 … 1 of (3, H, W), uint8."""
    return rgb.unsqueeze(0).float() / 255
