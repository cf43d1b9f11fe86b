"""Which elements of a latent are decoded together, and in which order they are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

__all__ = ["GatherStep", "MaskStep", "Step"]


class Step(ABC):
    """The set of latent elements that are decoded together, given everything decoded before.

    What is flattened may have M/g channels, an entry for every g channels of the latent.
    """

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
        return part[:, self._mask(part)]

    def unflatten(self, values: Tensor, like: Tensor) -> Tensor:
        if self.mask is None:
            return values.view(like.shape)
        full = values.new_zeros(like.shape)
        full[:, self._mask(like)] = values
        return full

    def _mask(self, part: Tensor) -> Tensor:
        """The mask of ``part`` (B, M/g, h, w), whose entries stand for g channels each."""
        assert self.mask is not None
        mask = self.mask
        if mask.dim() == 3:
            mask = mask[:: len(mask) // part.shape[1]]
        return mask.expand(part.shape[1:])


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
