"""Which sample numbers a process draws, and where it starts."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

__all__ = ["EndlessBatches"]


class EndlessBatches(Sampler[list[int]]):
    """Batches of consecutive sample numbers start, start + 1, … without end.

    Of ``world_size`` processes, rank r draws the numbers ≡ start + r (mod world_size), so together
    they draw what one process with a batch ``world_size`` times larger would. It has no length on
    purpose: the trainer stops at ``max_steps``.
    """

    def __init__(self, batch_size: int, start: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.batch_size = batch_size
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[list[int]]:
        number = self.start + self.rank
        while True:
            yield [number + k * self.world_size for k in range(self.batch_size)]
            number += self.batch_size * self.world_size
