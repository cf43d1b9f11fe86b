"""The prior conditioned on a side latent, with or without context."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from tngexp.priors.base import ContextModel, Prior
from tngexp.priors.distributions import GaussianMixture, bits, parameters_per_element
from tngexp.priors.factorized import FactorizedDensity
from tngexp.types import ConfigError, EntropyModelOutput, HyperTransform, ScalarQuantizer

__all__ = ["ConditionalPrior"]


@final
class ConditionalPrior(Prior):
    """Gaussian (mixture) parameters predicted from a side latent z and, if given, from context.

    Two independent choices: ``context`` says *how* parameters are predicted (from z alone:
    Minnen et al. 2018, § 3; with a masked, checkerboard or quadtree context besides), ``mixture``
    says *which family* they parametrise (Cheng et al. 2020, eq. 8). Symbols are residuals:
    symbol = Q(y − μ) and ŷ = Q⁻¹(symbol) + μ, with μ the mean of the distribution.

    z has a quantizer of its own, integer rounding whatever the latent has: it carries a small
    share of the bits and gains nothing from learned centers.

    Args:
        M: latent channels.
        hyper: factory of the hyper transforms, called with ``M`` and ``out_channels``.
        context: factory of the context model, called with ``M`` and ``parameters`` per element.
        side_quantizer: quantizer of z.
        mixture: K, number of Gaussians per element.

    Raises:
        ConfigError: for a non-positive K or M.
    """

    def __init__(
        self,
        M: int,
        hyper: Callable[..., HyperTransform],
        context: Callable[..., ContextModel],
        side_quantizer: ScalarQuantizer,
        mixture: int = 1,
    ) -> None:
        super().__init__()
        if mixture < 1:
            raise ConfigError(f"prior.mixture (number of Gaussians K) must be ≥ 1, not {mixture}")
        if M < 1:
            raise ConfigError(f"prior.M (latent channels) must be positive, not {M}")
        self.mixture = mixture
        self.context = context(M=M, parameters=parameters_per_element(mixture))
        self.hyper = hyper(M=M, out_channels=self.context.feature_channels)
        self.stride = self.hyper.stride
        self.side_density = FactorizedDensity(self.hyper.side_channels)
        self.side_quantizer = side_quantizer
        self._spread_components(M)

    def forward(self, y: Tensor, quantizer: ScalarQuantizer) -> EntropyModelOutput:
        features, z_bits = self._side_information(y)
        y = y.float()
        # One path serves all: only a context too long to step through trains in parallel.
        if self.training and (output := self._parallel(y, features, quantizer)) is not None:
            return EntropyModelOutput(*output, z_bits)
        y_hat = torch.zeros_like(y)
        y_bits = torch.zeros_like(y)
        for step in self.context.steps(y.shape[-2], y.shape[-1], y.device):
            raw = self.context(features, y_hat, step)
            distribution = GaussianMixture(raw, self.mixture)
            decoded, cells = quantizer(step.take(y) - distribution.location)
            y_hat = step.put(y_hat, decoded + distribution.location)
            y_bits = step.put(y_bits, bits(distribution, cells))
        return EntropyModelOutput(y_hat, y_bits, z_bits)

    def decode_steps(self, height: int, width: int) -> int:
        return self.context.decode_steps(height, width)

    def _side_information(self, y: Tensor) -> tuple[Tensor, Tensor]:
        z = self.hyper.analysis(y).float()
        distribution = self.side_density.at(z)
        decoded, cells = self.side_quantizer(z - distribution.location)
        z_hat = decoded + distribution.location
        return self.hyper.synthesis(z_hat), bits(distribution, cells)

    def _parallel(
        self, y: Tensor, features: Tensor, quantizer: ScalarQuantizer
    ) -> tuple[Tensor, Tensor] | None:
        """Training of a serial context in two passes instead of one per step.

        The true context ŷ depends on the means, which depend on the context. A first pass from
        the unquantized latent gives means close to the final ones and so a ŷ quantized around
        them, as a decoder would see; the second pass predicts from it.
        """
        with torch.no_grad():
            raw = self.context.parallel(features, y)
            if raw is None:
                return None
            location = GaussianMixture(raw, self.mixture).location
        context = quantizer(y - location).decoded + location
        raw = self.context.parallel(features, context)
        assert raw is not None
        distribution = GaussianMixture(raw, self.mixture)
        decoded, cells = quantizer(y - distribution.location)
        return decoded + distribution.location, bits(distribution, cells)

    @torch.no_grad()
    def _spread_components(self, M: int) -> None:
        """Start scales near one instead of at the floor, and mixture components apart.

        At the floor of 0.11 every element first costs its worst case and a short training spends
        its warm-up on that; equal components would stay equal.
        """
        layer = self.context.output_layer()
        if layer is None:
            layer = [m for m in self.hyper.synthesis.modules() if isinstance(m, _BIASED)][-1]
        assert isinstance(layer, _BIASED)
        assert layer.bias is not None
        for k in range(self.mixture):
            layer.bias[k * M : (k + 1) * M] = 2.0 ** (k - (self.mixture - 1) / 2)


_BIASED = (nn.Conv2d, nn.ConvTranspose2d)
