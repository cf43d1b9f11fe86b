"""What happens where a latent element is coded: five answers to one question.

A prior says in which order a latent is coded, and under which distribution and quantizer each
part: that is :meth:`tngexp.priors.base.Prior.walk`, its only description. A port answers at every
site of the walk what becomes of the elements there. The ports of training, of evaluation and of
counting are here; those that code, in integers, are in ``tngexp.bitstream.ports``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from tngexp.priors.distributions import bits
from tngexp.priors.steps import Step
from tngexp.types import POINT_GRID, Cells, Distribution, Quantizes

__all__ = ["Charging", "Count", "Hard", "Port", "Relaxed", "Site"]


class Site(NamedTuple):
    """Elements that are coded together: all that is known of them before they are."""

    name: str  # of the latent: "z" or "y"
    distribution: Distribution
    quantizer: Quantizes
    step: Step  # which elements of the latent
    size: tuple[int, ...]  # (B, M, h, w) of the latent


class Port(ABC):
    """What happens at a site.

    Attributes:
        trains: whether a walk may take a context that is known as a whole in one parallel pass.
    """

    trains = False

    def known(self, residual: Tensor, quantizer: Quantizes) -> Tensor:
        """What a context that is taken in one pass knows of residuals (B, M, h, w).

        Rounded, with the gradient of the identity.
        """
        return residual + (quantizer.hard(residual.detach()).decoded - residual).detach()

    @abstractmethod
    def site(self, site: Site, source: Tensor | None) -> Tensor:
        """What the decoder receives of a site's elements, (B, M, *S), location included.

        ``source`` holds the elements to be coded, (B, M, *S); None where there is nothing but a
        file to know them from.
        """

    def network(self, module: nn.Module) -> Callable[..., Tensor]:
        """``module`` in the arithmetic of this port."""
        return module

    def grid(self, x: Tensor) -> Tensor:
        """A correction (B, M, h, w) of decoded elements, in the arithmetic of this port."""
        return x


class Charging(Port):
    """A port that keeps the bits of every element, by the name of the latent."""

    def __init__(self) -> None:
        self.bits: dict[str, Tensor] = {}  # (B, M, h, w) each

    def _charge(self, site: Site, cells: Cells, like: Tensor) -> None:
        spent = bits(site.distribution, cells).expand_as(like)
        full = self.bits.get(site.name)
        if full is None:
            batch, channels, *space = site.size
            # Channels innermost, as the networks keep them.
            full = spent.new_zeros(batch, *space, channels).movedim(-1, 1)
        self.bits[site.name] = site.step.put(full, spent)


@final
class Relaxed(Charging):
    """Training: differentiable stand-ins for symbols, and differentiable bits."""

    trains = True

    def known(self, residual: Tensor, quantizer: Quantizes) -> Tensor:
        return quantizer.relax(residual).decoded

    def site(self, site: Site, source: Tensor | None) -> Tensor:
        assert source is not None
        location = site.distribution.location
        decoded, cells = site.quantizer.relax(source - location)
        self._charge(site, cells, source)
        return decoded + location


@final
class Hard(Charging):
    """Evaluation: hard symbols and the bits of their cells, in floating point.

    What is decoded lies on the grid of 2⁻¹⁰ on which files hold it.
    """

    def grid(self, x: Tensor) -> Tensor:
        return (x * POINT_GRID).round() / POINT_GRID

    def site(self, site: Site, source: Tensor | None) -> Tensor:
        assert source is not None
        location = self.grid(site.distribution.location)
        decoded, cells = site.quantizer.hard(source - location)
        self._charge(site, cells, source)
        return decoded + location


@final
class Count(Port):
    """A decoder's work: networks run on zeros and are counted, nothing is decoded.

    Args:
        clock: measure seconds instead of operations; counting takes longer than the networks.

    Attributes:
        cost: multiply-accumulates, or seconds, of each network over all of its calls.
        sites: the sites of each latent; a decoder takes them one after the other.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.cost: dict[nn.Module, float] = {}
        self.sites: dict[str, list[Site]] = {}
        self._clock = clock

    def network(self, module: nn.Module) -> Callable[..., Tensor]:
        def run(*arguments: object) -> Tensor:
            if self._clock is not None:
                start = self._clock()
                output: Tensor = module(*arguments)
                cost = self._clock() - start
            else:
                from torch.utils.flop_counter import FlopCounterMode  # slow to import

                with FlopCounterMode(display=False) as counter:
                    output = module(*arguments)
                cost = counter.get_total_flops() / 2  # torch counts products and sums
            self.cost[module] = self.cost.get(module, 0.0) + cost
            return output

        return run

    def site(self, site: Site, source: Tensor | None) -> Tensor:
        self.sites.setdefault(site.name, []).append(site)
        zeros = torch.zeros(site.size, device=site.distribution.location.device)
        return site.step.take(zeros)
