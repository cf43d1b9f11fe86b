"""Errors out of loader processes, as the one line that they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from tngexp.types import TngexpError

__all__ = ["TrainingLoader", "collate"]


class TrainingLoader(DataLoader[Tensor]):
    """Raises the errors that come instead of batches.

    Raised in a worker process they would reach the user as a traceback, which torch makes the
    message.
    """

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            if isinstance(batch, TngexpError):
                try:
                    raise batch
                finally:
                    # The error and this frame would hold each other, and workers that are only
                    # found by the garbage collector take seconds to end.
                    del batch
            yield batch


def collate(samples: list[Any]) -> Any:
    """A batch of samples, or the error that stands instead of them."""
    return samples[0] if isinstance(samples[0], TngexpError) else default_collate(samples)
