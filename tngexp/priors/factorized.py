"""A learned density per channel, and the prior that uses nothing else."""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.priors.base import Prior
from tngexp.priors.ports import Port, Site
from tngexp.priors.steps import MaskStep
from tngexp.priors.tables import probabilities
from tngexp.types import Alphabet, ConfigError, Latents, Pmf, Quantizes, StaticForm

__all__ = ["FactorizedDensity", "FactorizedPrior"]


@final
class FactorizedDensity(nn.Module):
    """A monotone CDF per channel (Ballé et al. 2018, appendix 6.1, eq. 23–28).

    F(x) = sigmoid(f_K ∘ … ∘ f_1(x)) with f_k(x) = g_k(softplus(H_k)·x + b_k) and
    g_k(x) = x + tanh(a_k)⊙tanh(x), the last one without g.

    Args:
        channels: number of channels, each with its own density.
        filters: hidden widths of the CDF's network.
        init_scale: half-width of the region that holds most mass at the start.
    """

    location: Tensor

    def __init__(
        self, channels: int, filters: tuple[int, ...] = (3, 3, 3, 3), init_scale: float = 10.0
    ) -> None:
        super().__init__()
        self.channels = channels
        widths = (1, *filters, 1)
        scale = init_scale ** (1 / (len(filters) + 1))
        self.matrices = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.factors = nn.ParameterList()
        for width_in, width_out in pairwise(widths):
            init = torch.log(torch.expm1(torch.tensor(1 / scale / width_out)))
            self.matrices.append(nn.Parameter(init.expand(channels, width_out, width_in).clone()))
            self.biases.append(nn.Parameter(torch.rand(channels, width_out, 1) - 0.5))
        for width in filters:
            self.factors.append(nn.Parameter(torch.zeros(channels, width, 1)))
        # Where symbol 0 sits. Zero when trained here; models imported from elsewhere bring medians.
        self.register_buffer("location", torch.zeros(channels))

    def logits(self, x: Tensor) -> Tensor:
        """logit F_c(x) for x of shape (C, 1, n), float32."""
        for k, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = torch.matmul(F.softplus(matrix), x) + bias
            if k < len(self.factors):
                x = x + torch.tanh(self.factors[k]) * torch.tanh(x)
        return x

    def at(self, spatial_dims: int) -> ChannelDistribution:
        """The distribution of every element of a latent (B, C, *S) with so many axes in S."""
        return ChannelDistribution(self, spatial_dims)


class ChannelDistribution:
    """A :class:`FactorizedDensity` seen as the distribution of a (B, C, *S) latent."""

    def __init__(self, density: FactorizedDensity, spatial_dims: int) -> None:
        self._density = density
        self.location = density.location.view(-1, *[1] * spatial_dims)  # (C, 1, …)
        self._channel_axis = -spatial_dims - 1

    def likelihood(self, lower: Tensor, upper: Tensor) -> Tensor:
        if lower.shape[self._channel_axis] == 1:  # edges shared by all elements: one per channel
            sizes = list(lower.shape)
            sizes[self._channel_axis] = self._density.channels
            lower, upper = lower.expand(sizes), upper.expand(sizes)
        low, shape = self._by_channel(lower + self.location)
        high, _ = self._by_channel(upper + self.location)
        low, high = self._density.logits(low), self._density.logits(high)
        # sigmoid(high) − sigmoid(low) evaluated on the side where neither rounds to one.
        sign = -torch.sign(low + high).detach()
        mass = (torch.sigmoid(sign * high) - torch.sigmoid(sign * low)).abs()
        return mass.reshape(shape).movedim(0, self._channel_axis)

    def form(self) -> StaticForm:
        """What the entropy coder makes a table of."""
        return StaticForm(self._density, self._pmf)

    def _pmf(self, alphabet: Alphabet) -> Pmf:
        return probabilities(self._density, alphabet)

    def _by_channel(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        moved = x.movedim(self._channel_axis, 0)  # (C, …)
        return moved.reshape(moved.shape[0], 1, -1), moved.shape


@final
class FactorizedPrior(Prior):
    """Every channel has one learned density, every element is independent (Ballé et al. 2017/2018).

    Args:
        M: latent channels.
    """

    stride = 1

    def __init__(self, M: int) -> None:
        super().__init__()
        if M < 1:
            raise ConfigError(f"prior.M (latent channels) must be positive, not {M}")
        self.chunk = M
        self.density = FactorizedDensity(M)

    def latents(self, y: Tensor) -> Latents:
        return Latents(y.float(), None)

    def walk(
        self,
        port: Port,
        latents: Latents | None,
        quantizer: Quantizes,
        size: tuple[int, ...],
    ) -> Tensor:
        y = None if latents is None else latents.y
        return port.site(Site("y", self.density.at(2), quantizer, MaskStep(0, None), size), y)
