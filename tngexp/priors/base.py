"""What a prior is: P(symbol) for every latent element, in as many decoding steps as it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tngexp.priors.ports import Hard, Port, Relaxed
from tngexp.priors.steps import Step
from tngexp.types import EntropyModelOutput, Latents, Quantizes

__all__ = ["ContextModel", "Prior"]


class Prior(nn.Module, ABC):
    """Says what is coded in which order, and under which distribution.

    :meth:`walk` is the one description of that. Training, evaluation, coding, counting and
    searching hand it a port each (``tngexp.priors.ports``).

    Attributes:
        stride: latent positions per position of the hyper-latent; 1 without a hyper-latent. The
            latent's height and width must be multiples of it.
        chunk: neighbouring channels that are always coded together; a quantizer whose symbols
            span g channels needs a multiple of g.
    """

    stride: int
    chunk: int

    @abstractmethod
    def latents(self, y: Tensor) -> Latents:
        """What is to be coded of an image: ``y`` (B, M, h, w) and what goes with it."""

    @abstractmethod
    def walk(
        self,
        port: Port,
        latents: Latents | None,
        quantizer: Quantizes,
        size: tuple[int, ...],
    ) -> Tensor:
        """Visit every site in coding order; return what the synthesis transform receives.

        Args:
            port: what happens at a site.
            latents: what is to be coded; None where the port knows it from a file.
            quantizer: of the latent.
            size: (B, M, h, w) of the latent.

        Returns:
            ŷ (B, M, h, w).
        """

    def forward(self, y: Tensor, quantizer: Quantizes) -> EntropyModelOutput:
        """Quantize ``y`` (B, M, h, w) with ``quantizer`` and count the bits.

        In training mode everything is differentiable and relaxed; in evaluation mode ``y_hat``
        and the bits are those of the symbols that a bitstream would carry.
        """
        port = Relaxed() if self.training else Hard()
        y_hat = self.walk(port, self.latents(y), quantizer, tuple(y.shape))
        return EntropyModelOutput(y_hat, port.bits["y"], port.bits.get("z"))


class ContextModel(nn.Module, ABC):
    """How distribution parameters are predicted from the hyper-latent and what is decoded already.

    Subclasses are built with ``(M, parameters)``: latent channels and raw parameters per element.

    Attributes:
        feature_channels: channels it expects of the hyper synthesis transform.
        chunk: neighbouring channels that every step takes together.
    """

    feature_channels: int
    chunk: int

    @abstractmethod
    def steps(self, height: int, width: int, device: torch.device) -> Iterable[Step]:
        """The decoding schedule of an h × w latent."""

    @abstractmethod
    def forward(self, features: Tensor, y_hat: Tensor, step: Step) -> Tensor:
        """Raw parameters (B, P·M, *S) of a step's elements.

        ``features`` is (B, feature_channels, h, w); ``y_hat`` (B, M, h, w) holds the elements of
        earlier steps and zeros elsewhere.
        """

    @abstractmethod
    def output_layers(self) -> list[nn.Module]:
        """The layers whose output channels are the raw parameters; none when that is the hyper
        synthesis transform's last one."""

    def refinement(self, step: Step) -> nn.Module | None:
        """A network that corrects what is decoded after a step; None for no correction.

        It is called as ``network(features, y_hat)``, with ``y_hat`` including the step's elements,
        and returns what is added to ŷ, (B, M, h, w): zero wherever nothing is decoded yet.
        """
        return None

    def parallel(self, features: Tensor, y_hat: Tensor) -> Tensor | None:
        """Raw parameters (B, P·M, h, w) of all elements at once, were ``y_hat`` fully known.

        Only models with too many steps to train through give one; None means train step by step.
        """
        return None
