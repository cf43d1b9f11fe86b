"""A network inside of a loss: it judges, and learns nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn

__all__ = ["Frozen"]


class Frozen(nn.Module):
    """``network`` in evaluation mode and in the precision it came in, without gradients of its own.

    It follows a loss to its device, and neither into ``train()`` nor into half precision, where
    differences of features would drown in rounding.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def forward(self, *images: Tensor) -> Any:
        return self.network(*images)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(fn(tensor.new_empty(0)).device)

        return super()._apply(moved, recurse)
