"""The prior conditioned on a hyper-latent, with or without context."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from tngexp.priors.base import ContextModel, Prior
from tngexp.priors.distributions import Mixture, check_family, parameters_per_element
from tngexp.priors.factorized import FactorizedDensity
from tngexp.priors.ports import Port, Site
from tngexp.priors.steps import MaskStep
from tngexp.types import ConfigError, HyperTransform, Latents, Quantizes

__all__ = ["ConditionalPrior"]

_ALL = MaskStep(0, None)


@final
class ConditionalPrior(Prior):
    """Mixture parameters predicted from a hyper-latent z and, if given, from context.

    Two independent choices: ``context`` says *how* parameters are predicted (from z alone:
    Minnen et al. 2018, § 3; with a masked, checkerboard, quadtree or channel context besides),
    ``family`` and ``mixture`` say *which distribution* they parametrise (Cheng et al. 2020, § 3.2).
    Symbols are residuals: symbol = Q(y − μ) and ŷ = Q⁻¹(symbol) + μ, with μ the mean of the
    distribution.

    z has a quantizer of its own, integer rounding whatever the latent has: it carries a small
    share of the bits and gains nothing from learned centers.

    Args:
        M: latent channels.
        hyper: factory of the hyper transforms, called with ``M`` and ``out_channels``.
        context: factory of the context model, called with ``M`` and ``parameters`` per element.
        side_quantizer: quantizer of z.
        mixture: K, number of components per element.
        family: of the components: gaussian, laplace or logistic.

    Raises:
        ConfigError: for a non-positive K or M, an unknown family, or a side quantizer whose
            symbols do not divide the channels of z.
    """

    def __init__(
        self,
        M: int,
        hyper: Callable[..., HyperTransform],
        context: Callable[..., ContextModel],
        side_quantizer: Quantizes,
        mixture: int = 1,
        family: str = "gaussian",
    ) -> None:
        super().__init__()
        if mixture < 1:
            raise ConfigError(f"prior.mixture (number of components K) must be ≥ 1, not {mixture}")
        if M < 1:
            raise ConfigError(f"prior.M (latent channels) must be positive, not {M}")
        check_family(family)
        self.mixture = mixture
        self.family = family
        self.context = context(M=M, parameters=parameters_per_element(mixture))
        self.chunk = self.context.chunk
        self.hyper = hyper(M=M, out_channels=self.context.feature_channels)
        self.stride = self.hyper.stride
        self.side_density = FactorizedDensity(self.hyper.side_channels)
        self.side_quantizer = side_quantizer
        group = getattr(side_quantizer, "group", 1)
        if self.hyper.side_channels % group:
            raise ConfigError(
                f"prior.side_quantizer codes {group} channels at once, which do not divide the "
                f"{self.hyper.side_channels} channels of the hyper-latent (hyper.N)"
            )
        self._spread_components()

    def latents(self, y: Tensor) -> Latents:
        return Latents(y.float(), self.hyper.analysis(y).float())

    def walk(
        self,
        port: Port,
        latents: Latents | None,
        quantizer: Quantizes,
        size: tuple[int, ...],
    ) -> Tensor:
        y, z = (None, None) if latents is None else latents
        batch, _, height, width = size
        side = self.hyper.side_channels, height // self.stride, width // self.stride
        z_hat = port.site(
            Site("z", self.side_density.at(2), self.side_quantizer, _ALL, (batch, *side)), z
        )
        features = port.network(self.hyper.synthesis)(z_hat)
        if port.trains:
            assert y is not None
            raw = self._parallel(y, features, quantizer, port)
            if raw is not None:
                return port.site(Site("y", self._mixture(raw), quantizer, _ALL, size), y)
        context = port.network(self.context)
        # Zeros in the features' memory format, and in the arithmetic that the port decodes in.
        y_hat = (z_hat if y is None else y).new_zeros(size)
        if features.is_contiguous(memory_format=torch.channels_last):
            y_hat = y_hat.contiguous(memory_format=torch.channels_last)
        for step in self.context.steps(height, width, y_hat.device):
            distribution = self._mixture(context(features, y_hat, step))
            source = None if y is None else step.take(y)
            values = port.site(Site("y", distribution, quantizer, step, size), source)
            y_hat = step.put(y_hat, values)
            refinement = self.context.refinement(step)
            if refinement is not None:
                y_hat = y_hat + port.grid(port.network(refinement)(features, y_hat))
        return y_hat

    def _mixture(self, raw: Tensor) -> Mixture:
        return Mixture(raw, self.mixture, self.family)

    def _parallel(
        self, y: Tensor, features: Tensor, quantizer: Quantizes, port: Port
    ) -> Tensor | None:
        """Raw parameters of all elements for a context too long to step through, else None.

        The true context ŷ depends on the means, which depend on the context. A first pass from
        the unquantized latent gives means close to the final ones and so a ŷ quantized around
        them, as a decoder would see; the second pass predicts from it.
        """
        with torch.no_grad():
            raw = self.context.parallel(features, y)
            if raw is None:
                return None
            location = self._mixture(raw).location
        known = port.known(y - location, quantizer) + location
        return self.context.parallel(features, known)

    @torch.no_grad()
    def _spread_components(self) -> None:
        """Start scales near one instead of at the floor, and mixture components apart.

        At the floor of 0.11 every element first costs its worst case and a short training spends
        its warm-up on that; equal components would stay equal.
        """
        layers = self.context.output_layers()
        if not layers:
            layers = [m for m in self.hyper.synthesis.modules() if isinstance(m, _BIASED)]
            layers = layers[-1:]
        for layer in layers:
            assert isinstance(layer, _BIASED)
            assert layer.bias is not None
            channels = len(layer.bias) // parameters_per_element(self.mixture)
            for k in range(self.mixture):
                start = 2.0 ** (k - (self.mixture - 1) / 2)
                layer.bias[k * channels : (k + 1) * channels] = start


_BIASED = (nn.Conv2d, nn.ConvTranspose2d)
