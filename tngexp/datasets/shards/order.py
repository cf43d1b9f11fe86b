"""Who reads which image of a sharded data set, and when: arithmetic only.

Samples are numbered as for folders (``EndlessBatches``): in step s, place k of the batch of rank r
is sample ``(s·batch + k)·ranks + r``, and sample n belongs to epoch ``n // images``. Batches of a
rank come from its loader workers in turn. So each of them, (rank, worker), owns a fixed set of
sample numbers, and the numbers say how many images it owes to each epoch. It takes them as one
contiguous part of the epoch's shards laid end to end: a worker opens few shards, and all together
visit every image once before a sample of the next epoch is due, for any number of ranks and
workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

__all__ = ["Block", "ShardRange", "WorkerShare", "blocks", "shard_ranges"]


class ShardRange(NamedTuple):
    """Images ``first`` … ``stop − 1`` of shard number ``shard``."""

    shard: int
    first: int
    stop: int


class Block(NamedTuple):
    """Positions ``first`` … ``stop − 1`` of a worker's share of an epoch, shuffled together."""

    first: int
    stop: int


@dataclass(frozen=True)
class WorkerShare:
    """The sample numbers of one worker of one rank.

    Args:
        images: in an epoch.
        batch: samples per rank and step.
        ranks: their number; ``rank`` is this one's.
        workers: of a rank; ``worker`` is this one's.
    """

    images: int
    batch: int
    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    def number(self, m: int) -> int:
        """The worker's sample number m, counted from 0."""
        batch, k = divmod(m, self.batch)
        return ((batch * self.workers + self.worker) * self.batch + k) * self.ranks + self.rank

    def count(self, number: int) -> int:
        """How many of the worker's sample numbers are below ``number``."""
        step = self.batch * self.ranks  # numbers of one step
        rounds, rest = divmod(number, step * self.workers)
        inside = min(max(rest - self.worker * step, 0), step)
        return rounds * self.batch + (inside - self.rank + self.ranks - 1) // self.ranks

    def share(self, epoch: int) -> tuple[int, int]:
        """The (start, stop) of the worker in the images of an epoch laid end to end."""
        start = 0
        for rank in range(self.ranks):
            for worker in range(self.workers):
                other = WorkerShare(self.images, self.batch, rank, self.ranks, worker, self.workers)
                size = other.count((epoch + 1) * self.images) - other.count(epoch * self.images)
                if (rank, worker) == (self.rank, self.worker):
                    return start, start + size
                start += size
        raise ValueError(f"no worker {self.worker} of rank {self.rank}")

    @property
    def id(self) -> int:
        """A number of its own, to seed its shuffles."""
        return self.rank * self.workers + self.worker


def shard_ranges(
    parts: Sequence[ShardRange], seed: int, epoch: int, start: int, stop: int
) -> list[ShardRange]:
    """Images ``start`` … ``stop − 1`` of ``parts`` laid end to end in the epoch's permutation."""
    # The trailing 1 keeps this stream apart from those of the samples.
    order = np.random.default_rng([seed, epoch, 1]).permutation(len(parts))
    found = []
    offset = 0
    for shard, first, end in (parts[k] for k in order):
        low, high = max(start - offset, 0), min(stop - offset, end - first)
        if low < high:
            found.append(ShardRange(shard, first + low, first + high))
        offset += end - first
    return found


def blocks(size: int, shuffle: int) -> list[Block]:
    """Divides a share into blocks of ``shuffle`` images; the last one takes the rest as well."""
    count = max(1, size // shuffle)
    edges = [k * shuffle for k in range(count)] + [size]
    return [Block(a, b) for a, b in pairwise(edges) if a < b]
