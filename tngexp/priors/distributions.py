"""Densities of single latent elements: where they sit and how much mass a cell holds."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tngexp.types import Cells, ConfigError, Distribution, MixtureForm, lower_bound

__all__ = ["FAMILIES", "SCALE_MIN", "Mixture", "bits", "parameters_per_element"]

SCALE_MIN = 0.11
"""Smallest scale: below it a unit cell holds all the mass and the gradient dies (Ballé 2018)."""

_LIKELIHOOD_MIN = 1e-9


def bits(distribution: Distribution, cells: Cells) -> Tensor:
    """Bits to code elements lying in ``cells``, shape (B, M, *S), float32.

    With cell weights (a soft assignment) this is the expected number of bits. The bits of a
    codeword are shared out evenly among its channels.
    """
    with torch.autocast(device_type=cells.lower.device.type, enabled=False):
        if cells.group:
            return _codeword_bits(distribution, cells)
        likelihood = distribution.likelihood(cells.lower.float(), cells.upper.float())
        rate = -torch.log2(lower_bound(likelihood, _LIKELIHOOD_MIN))
        return rate if cells.weight is None else (cells.weight * rate).sum(0)


def _codeword_bits(distribution: Distribution, cells: Cells) -> Tensor:
    assert cells.weight is not None
    groups = cells.weight.shape[2]
    repeats = [groups if axis == 2 else 1 for axis in range(cells.lower.dim())]
    mass = distribution.likelihood(cells.lower.repeat(repeats), cells.upper.repeat(repeats))
    side = torch.log(lower_bound(mass, _LIKELIHOOD_MIN))  # (L, B, M, *S)
    joint = side.unflatten(2, (groups, cells.group)).sum(3)  # (L, B, M/g, *S)
    nats = (cells.weight * -torch.log_softmax(joint, dim=0)).sum(0)
    return nats.repeat_interleave(cells.group, dim=1) / (cells.group * math.log(2))


class Mixture:
    """Σ_k w_k·F((y − μ_k)/s_k) per element (Cheng et al. 2020, § 3.2); K = 1 is the plain family.

    Built from the raw network output, in the channel order *scales, means, logits* (K·M channels
    each, no logits for K = 1), so that K = 1 matches the mean-scale hyperprior of Minnen 2018 as
    CompressAI lays it out. Scales are floored at :data:`SCALE_MIN`. Figures are float32;
    :meth:`form` keeps the network's precision.

    Args:
        raw: (B, P·M, *S), P = 2 for K = 1 and 3·K otherwise.
        components: K.
        family: of F, symmetric around 0: ``gaussian`` (s its standard deviation), ``laplace`` or
            ``logistic`` (s their scale parameter).
    """

    def __init__(self, raw: Tensor, components: int = 1, family: str = "gaussian") -> None:
        self._components, self._family = components, family
        split = raw.unflatten(1, (parameters_per_element(components), -1))
        self._raw = split.movedim(1, 0)  # (P, B, M, *S)
        self._figures: tuple[Tensor, Tensor, Tensor | None, Tensor] | None = None

    @property
    def location(self) -> Tensor:
        """The mean of the distribution, (B, M, *S)."""
        return self._in_float()[3]

    def likelihood(self, lower: Tensor, upper: Tensor) -> Tensor:
        """P(lower < y − location < upper); leading axes of the edges broadcast."""
        cdf = _CDFS[self._family]
        scale, mean, weight, location = self._in_float()
        if weight is None:
            return _mass(cdf, lower, upper, scale[0])
        axis = -location.dim() - 1  # where the components go: just left of B
        offset = mean - location
        mass = _mass(cdf, lower.unsqueeze(axis) - offset, upper.unsqueeze(axis) - offset, scale)
        return (weight * mass).sum(axis)

    def form(self) -> MixtureForm:
        """What the entropy coder makes integers of."""
        k = self._components
        logits = None if k == 1 else self._raw[2 * k :]
        return MixtureForm(self._family, self._raw[:k], self._raw[k : 2 * k], logits)

    def _in_float(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Scales, means, weights (K, B, M, *S) and location; made when asked for, since coding
        does without."""
        if self._figures is None:
            k, split = self._components, self._raw.float()
            scale, mean = lower_bound(split[:k], SCALE_MIN), split[k : 2 * k]
            if k == 1:
                self._figures = scale, mean, None, mean[0]
            else:
                weight = torch.softmax(split[2 * k :], dim=0)
                self._figures = scale, mean, weight, (weight * mean).sum(0)
        return self._figures


def parameters_per_element(components: int) -> int:
    """P: raw network outputs per latent element for a mixture of K components."""
    return 2 if components == 1 else 3 * components


def check_family(family: str) -> None:
    """Raises ConfigError for a family there is none of."""
    if family not in FAMILIES:
        raise ConfigError(f"prior.family must be one of {', '.join(FAMILIES)}, not {family}")


def _mass(cdf: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor, scale: Tensor) -> Tensor:
    # F(b) − F(a) loses every digit in the upper tail, so a cell right of the mean is mirrored.
    mirror = lower + upper > 0
    a = torch.where(mirror, -upper, lower) / scale
    b = torch.where(mirror, -lower, upper) / scale
    return cdf(b) - cdf(a)


def _gaussian(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(x * -(2.0**-0.5))


def _laplace(x: Tensor) -> Tensor:
    tail = 0.5 * torch.exp(-x.abs())
    return torch.where(x > 0, 1 - tail, tail)


_CDFS: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian": _gaussian,
    "laplace": _laplace,
    "logistic": torch.sigmoid,
}

FAMILIES = tuple(_CDFS)
"""What ``prior.family`` may be."""
