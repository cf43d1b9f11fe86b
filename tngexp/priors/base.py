"""What a prior is: P(symbol) for every latent element, in as many decoding steps as it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn

from tngexp.types import EntropyModelOutput, ScalarQuantizer

__all__ = ["ContextModel", "GatherStep", "MaskStep", "Prior", "Step"]


class Prior(nn.Module, ABC):
    """Turns a latent into what the decoder receives and what it costs.

    Attributes:
        stride: latent positions per position of the side latent; 1 without a side latent. The
            latent's height and width must be multiples of it.
    """

    stride: int

    @abstractmethod
    def forward(self, y: Tensor, quantizer: ScalarQuantizer) -> EntropyModelOutput:
        """Quantize ``y`` (B, M, h, w) with ``quantizer`` and count the bits.

        In training mode everything is differentiable and relaxed; in evaluation mode ``y_hat``
        and the bits are those of the symbols that a bitstream would carry.
        """

    @abstractmethod
    def decode_steps(self, height: int, width: int) -> int:
        """Sequential network evaluations a decoder needs for an h × w latent."""


class Step(ABC):
    """The set of latent elements that are decoded together, given everything decoded before."""

    index: int

    @abstractmethod
    def take(self, full: Tensor) -> Tensor:
        """Cut (B, C, h, w) to what the step's parameters align with: (B, C, *S)."""

    @abstractmethod
    def put(self, full: Tensor, part: Tensor) -> Tensor:
        """``full`` (B, M, h, w) with this step's elements taken from ``part`` (B, M, *S)."""

    @abstractmethod
    def flatten(self, part: Tensor) -> Tensor:
        """This step's elements of ``part`` (B, M, *S), in coding order: (B, n)."""

    @abstractmethod
    def unflatten(self, values: Tensor, like: Tensor) -> Tensor:
        """The inverse of :meth:`flatten`, with the shape of ``like``; other elements are zero."""


@final
class MaskStep(Step):
    """Elements chosen by a mask; parameters are predicted at every position.

    Args:
        index: position in the schedule.
        mask: bool, broadcastable to (M, h, w); ``None`` for every element.
    """

    def __init__(self, index: int, mask: Tensor | None) -> None:
        self.index = index
        self.mask = mask

    def take(self, full: Tensor) -> Tensor:
        return full

    def put(self, full: Tensor, part: Tensor) -> Tensor:
        return part if self.mask is None else torch.where(self.mask, part, full)

    def flatten(self, part: Tensor) -> Tensor:
        if self.mask is None:
            return part.flatten(1)
        return part[:, self.mask.expand(part.shape[1:])]

    def unflatten(self, values: Tensor, like: Tensor) -> Tensor:
        if self.mask is None:
            return values.view(like.shape)
        full = values.new_zeros(like.shape)
        full[:, self.mask.expand(like.shape[1:])] = values
        return full


@final
class GatherStep(Step):
    """All channels at a list of positions.

    Args:
        index: position in the schedule.
        rows: (n,) int64.
        columns: (n,) int64.
    """

    def __init__(self, index: int, rows: Tensor, columns: Tensor) -> None:
        self.index = index
        self.rows = rows
        self.columns = columns

    def take(self, full: Tensor) -> Tensor:
        return full[:, :, self.rows, self.columns]

    def put(self, full: Tensor, part: Tensor) -> Tensor:
        # A new tensor a step would cost O(h·w) each; in place is safe where nothing is recorded.
        full = full.clone() if torch.is_grad_enabled() else full
        full[:, :, self.rows, self.columns] = part
        return full

    def flatten(self, part: Tensor) -> Tensor:
        return part.flatten(1)

    def unflatten(self, values: Tensor, like: Tensor) -> Tensor:
        return values.view(like.shape)


class ContextModel(nn.Module, ABC):
    """How distribution parameters are predicted from the side latent and what is decoded already.

    Subclasses are built with ``(M, parameters)``: latent channels and raw parameters per element.

    Attributes:
        feature_channels: channels it expects of the hyper synthesis transform.
    """

    feature_channels: int

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
    def decode_steps(self, height: int, width: int) -> int:
        """Number of steps."""

    @abstractmethod
    def output_layer(self) -> nn.Module | None:
        """The layer whose output channels are the raw parameters; None when that is the hyper
        synthesis transform's last one."""

    def parallel(self, features: Tensor, y_hat: Tensor) -> Tensor | None:
        """Raw parameters (B, P·M, h, w) of all elements at once, were ``y_hat`` fully known.

        Only models with too many steps to train through give one; None means train step by step.
        """
        return None
