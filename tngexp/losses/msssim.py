"""Multi-scale structural similarity."""

from __future__ import annotations

import functools
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from tngexp.losses.base import Distortion, RateDistortionLoss
from tngexp.losses.mse import mean_squared_error
from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError, lower_bound

__all__ = ["MSSSIMLoss", "differentiable_ms_ssim"]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, Wang et al. 2003, section 3.2
_WINDOW, _SIGMA = 11, 1.5  # pixels, of the Gaussian window
_C1, _C2 = 0.01**2, 0.03**2  # for a data range of 1


def differentiable_ms_ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """MS-SSIM of each image, (B,), with gradients for ``x_hat`` only (Wang et al. 2003).

    The same numbers as piq, which measures validation images, in two fifths of its time. What
    differs is how local means are taken: windows are separable, so blurring is a product with a
    banded matrix from either side, and sum and difference of the two images need four blurs where
    the images themselves need five.

    ``x_hat`` is clamped to [0, 1] with a gradient that still pulls overshooting pixels back; a
    plain clamp would leave them without one.
    """
    x = x.detach()
    y = -lower_bound(-lower_bound(x_hat, 0.0), -1.0)
    # (B, 3, H, W) with W innermost, whatever the codec's memory format.
    total, difference = (x + y).contiguous(), (x - y).contiguous()
    terms: list[Tensor] = []
    for scale in range(len(_WEIGHTS)):
        if scale > 0:
            total, difference = _halve(total), _halve(difference)
        rows, columns = (_band(size, total) for size in total.shape[-2:])
        if scale < len(_WEIGHTS) - 1:
            terms.append(_Contrast.apply(total, difference, rows, columns))
        else:
            terms.append(_similarity(total, difference, rows, columns))
    # The gradient of a power below 1 is infinite at 0, where a plain relu would put it.
    stacked = lower_bound(torch.stack(terms), 1e-6)  # (5, B, 3)
    weights = torch.tensor(_WEIGHTS, device=x.device, dtype=stacked.dtype)
    return (stacked ** weights[:, None, None]).prod(0).mean(1)


@final
class MSSSIMLoss(RateDistortionLoss):
    """D = 1 − MS-SSIM, the scale of CompressAI's MS-SSIM λ ladder.

    MS-SSIM compares contrasts, and leaves a new codec's colours and brightness to be found late. So
    a training may begin with D = mse_weight·255²·MSE and hand over.

    Args:
        lmbda, lmbda_min, lmbda_max, balance: see :class:`RateDistortionLoss`.
        mse_until: share of a run after which MSE has no part in it any more; up to half of it
            there is nothing else, then it fades linearly. 0: MS-SSIM from the first step on.
        mse_weight: what makes MSE and MS-SSIM trade the same bits at the same λ.

    Raises:
        ConfigError: for a share outside of 0 … 1, or a weight that is not above 0.
    """

    min_side = MS_SSIM_MIN_SIDE

    def __init__(
        self,
        lmbda: float,
        lmbda_min: float,
        lmbda_max: float,
        balance: float = 0.0,
        mse_until: float = 0.0,
        mse_weight: float = 0.00078,
    ) -> None:
        super().__init__(lmbda, lmbda_min, lmbda_max, balance)
        if not 0 <= mse_until <= 1:
            raise ConfigError(
                f"loss.mse_until={mse_until} must lie in 0 … 1: it is a share of the run"
            )
        if not mse_weight > 0:
            raise ConfigError(
                f"loss.mse_weight={mse_weight} must be above 0; loss.mse_until=0 does without MSE"
            )
        self.mse_until = mse_until
        self.mse_weight = mse_weight
        self._mse_share = 0.0

    def at(self, progress: float) -> None:
        fading = self.mse_until / 2
        left = self.mse_until - progress
        self._mse_share = min(max(left / fading, 0.0), 1.0) if fading else 0.0

    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        share = self._mse_share if self.training else 0.0
        mse = mean_squared_error(x, x_hat if share else x_hat.detach())
        # Without a gradient where it is logged only: its own is half of a loss's time.
        similarity = differentiable_ms_ssim(x, x_hat if share < 1 else x_hat.detach())
        total = (1 - share) * (1 - similarity)
        if share:
            total = total + share * self.mse_weight * 255.0**2 * mse
        return Distortion(total, {"mse": mse, "ms_ssim": similarity})


class _Contrast(torch.autograd.Function):
    """Mean contrast-structure term of each plane, (B, 3), from s = x + y and d = x − y.

    With local variances S of s and D of d, 2σ_xy = (S − D)/2 and σ_x² + σ_y² = (S + D)/2, so the
    term is (S − D + 2·C2) / (S + D + 2·C2). Its backward is written out because autograd's moves
    three times the memory.
    """

    @staticmethod
    def forward(ctx: Any, s: Tensor, d: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        mean_s, mean_d = _blur(s, rows, columns), _blur(d, rows, columns)
        var_s = torch.addcmul(_blur(s * s, rows, columns), mean_s, mean_s, value=-1)
        var_d = torch.addcmul(_blur(d * d, rows, columns), mean_d, mean_d, value=-1)
        inverse = (var_s + var_d).add_(2 * _C2).reciprocal_()
        term = (var_s - var_d).add_(2 * _C2).mul_(inverse)
        ctx.save_for_backward(s, d, rows, columns, mean_s, mean_d, var_s, var_d, inverse)
        return term.mean((-2, -1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        s, d, rows, columns, mean_s, mean_d, var_s, var_d, inverse = ctx.saved_tensors
        share = grad[..., None, None] * (2 / (var_s.shape[-2] * var_s.shape[-1]))
        slope = inverse * inverse * share
        s_grad = _variance_gradient(var_d * slope, s, mean_s, rows, columns)
        d_slope = (var_s + 2 * _C2).mul_(slope).neg_()
        return s_grad, _variance_gradient(d_slope, d, mean_d, rows, columns), None, None


def _variance_gradient(
    grad: Tensor, x: Tensor, mean: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """∂/∂x of Σ grad · (blur(x²) − blur(x)²)."""
    through_mean = _blur(grad * mean, rows.T, columns.T)
    return torch.addcmul(-through_mean, _blur(grad, rows.T, columns.T), x).mul_(2)


def _similarity(s: Tensor, d: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mean SSIM of each plane, (B, 3): the coarsest scale has the luminance term, too."""
    mean_s, mean_d = _blur(s, rows, columns).square(), _blur(d, rows, columns).square()
    var_s = _blur(s * s, rows, columns) - mean_s
    var_d = _blur(d * d, rows, columns) - mean_d
    luminance = (mean_s - mean_d + 2 * _C1) / (mean_s + mean_d + 2 * _C1)
    contrast = (var_s - var_d + 2 * _C2) / (var_s + var_d + 2 * _C2)
    return (luminance * contrast).mean((-2, -1))


def _blur(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return rows @ (x @ columns.T)


def _halve(x: Tensor) -> Tensor:
    """2×2 means; where a side is odd, both gain a border pixel before the first, as in piq."""
    if x.shape[-2] % 2 or x.shape[-1] % 2:
        x = F.pad(x, (1, 0, 1, 0), mode="replicate")
    return F.avg_pool2d(x, 2)


def _band(size: int, like: Tensor) -> Tensor:
    """The Gaussian window at every place it fits, (size − 10, size)."""
    return _window_matrix(size).to(like)


@functools.lru_cache(maxsize=64)
def _window_matrix(size: int) -> Tensor:
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    window /= window.sum()
    band = torch.zeros(size - _WINDOW + 1, size, dtype=torch.float64)
    for j in range(_WINDOW):
        band.diagonal(j).copy_(window[j].expand(len(band)))
    return band
