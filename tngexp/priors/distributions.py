"""Densities of single latent elements: where they sit and how much mass a cell holds."""

from __future__ import annotations

import torch
from torch import Tensor

from tngexp.types import Cells, Distribution, lower_bound

__all__ = ["SCALE_MIN", "GaussianMixture", "bits"]

SCALE_MIN = 0.11
"""Smallest scale: below it a unit cell holds all the mass and the gradient dies (Ballé 2018)."""

_LIKELIHOOD_MIN = 1e-9


def bits(distribution: Distribution, cells: Cells) -> Tensor:
    """Bits to code elements lying in ``cells``, shape (B, M, *S), float32.

    With cell weights (a soft assignment) this is the expected number of bits.
    """
    with torch.autocast(device_type=cells.lower.device.type, enabled=False):
        likelihood = distribution.likelihood(cells.lower.float(), cells.upper.float())
        rate = -torch.log2(lower_bound(likelihood, _LIKELIHOOD_MIN))
        return rate if cells.weight is None else (cells.weight * rate).sum(0)


class GaussianMixture:
    """Σ_k w_k·N(μ_k, σ_k²) per element (Cheng et al. 2020, eq. 8); K = 1 is the plain Gaussian.

    Built from the raw network output, in the channel order *scales, means, logits* (K·M channels
    each, no logits for K = 1), so that K = 1 matches the mean-scale hyperprior of Minnen 2018 as
    CompressAI lays it out. Scales are floored at :data:`SCALE_MIN`. Everything is float32.

    Args:
        raw: (B, P·M, *S), P = 2 for K = 1 and 3·K otherwise.
        components: K.
    """

    def __init__(self, raw: Tensor, components: int) -> None:
        k = components
        split = raw.float().unflatten(1, (parameters_per_element(k), -1)).movedim(1, 0)
        self.scale = lower_bound(split[:k], SCALE_MIN)  # (K, B, M, *S)
        self.mean = split[k : 2 * k]  # (K, B, M, *S)
        if k == 1:
            self.weight = None
            self.location = self.mean[0]  # (B, M, *S)
        else:
            self.weight = torch.softmax(split[2 * k :], dim=0)  # (K, B, M, *S)
            self.location = (self.weight * self.mean).sum(0)

    def likelihood(self, lower: Tensor, upper: Tensor) -> Tensor:
        """P(lower < y − location < upper); leading axes of the edges broadcast."""
        if self.weight is None:
            return _gaussian_mass(lower, upper, self.scale[0])
        axis = -self.location.dim() - 1  # where the components go: just left of B
        offset = self.mean - self.location
        mass = _gaussian_mass(
            lower.unsqueeze(axis) - offset, upper.unsqueeze(axis) - offset, self.scale
        )
        return (self.weight * mass).sum(axis)


def parameters_per_element(components: int) -> int:
    """P: raw network outputs per latent element for a mixture of K components."""
    return 2 if components == 1 else 3 * components


def _gaussian_mass(lower: Tensor, upper: Tensor, scale: Tensor) -> Tensor:
    # Φ(b) − Φ(a) loses every digit in the upper tail, so a cell right of the mean is mirrored.
    mirror = lower + upper > 0
    a = torch.where(mirror, -upper, lower) / scale
    b = torch.where(mirror, -lower, upper) / scale
    return _phi(b) - _phi(a)


def _phi(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(x * -(2.0**-0.5))
