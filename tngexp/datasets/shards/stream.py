"""Crops from a stream of shards: which image when, without decoding what is passed over."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate, get_worker_info

from tngexp.datasets.crops import MakeSample, random_crop
from tngexp.datasets.images import DataError, DataWarning, Pixels, UnreadableImageError
from tngexp.datasets.images import decode as decode_file
from tngexp.datasets.module import LoaderOptions
from tngexp.datasets.shards.index import ShardIndex
from tngexp.datasets.shards.order import ShardRange, WorkerShare, blocks, shard_ranges
from tngexp.datasets.shards.read import Member, join, read_members
from tngexp.types import TngexpError

__all__ = ["PackedPhoto", "ShardCrops"]


@dataclass(frozen=True)
class PackedPhoto:
    """A photo whose encoded bytes are in memory."""

    name: str
    data: bytes = field(repr=False)

    @property
    def short_side(self) -> int:
        return min(self.decode().shape[:2])

    def decode(self) -> Pixels:
        return decode_file(self.data)


class ShardCrops(IterableDataset[Any]):
    """An endless stream of batches of random crops, (B, 3, crop, crop) uint8.

    What comes at a step follows from the seed, the step, the rank and the numbers of ranks and
    workers alone; ``order`` says how. Order within a worker's share is shuffled in blocks of
    ``shuffle`` images, whose encoded bytes are held in memory. To start at sample ``start``, whole
    shards before it are never opened, and images before it in its shard never decoded.

    An error comes as an item of the stream instead of a batch, see
    :class:`~tngexp.datasets.loader.TrainingLoader`.

    Args:
        root: folder or URL of the shards.
        index: what they hold.
        parts: what trains.
        options: see LoaderOptions.
        shuffle: images in a block.
        start: the first sample number, of all ranks together.
        rank: of this process, out of ``ranks``.
        ranks: number of processes.
        make: what becomes of a crop and its number; None leaves it as it is. A stream goes on:
            it makes samples of the crops that come, without earlier ones.
    """

    def __init__(
        self,
        root: str,
        index: ShardIndex,
        parts: Sequence[ShardRange],
        options: LoaderOptions,
        shuffle: int = 64,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
        make: MakeSample | None = None,
    ) -> None:
        self.root = root
        self.index = index
        self.parts = parts
        self.options = options
        self.shuffle = shuffle
        self.start = start
        self.rank = rank
        self.ranks = ranks
        self.make = make
        self._warned = False

    def __iter__(self) -> Iterator[Any]:
        options = self.options
        batch: list[Any] = []
        try:
            for number, image in self._samples(self._worker_share()):
                rng = np.random.default_rng([options.seed, number])
                crop = random_crop(image, options.crop, rng, options.downscale_range, options.flip)
                sample = torch.from_numpy(crop.transpose(2, 0, 1).copy(order="C"))
                batch.append(sample if self.make is None else self.make(sample, number))
                if len(batch) == options.batch_size:
                    yield default_collate(batch)
                    batch = []
        except TngexpError as error:
            yield cast(Tensor, error)

    def _worker_share(self) -> WorkerShare:
        """The loader asks worker 0 first, wherever the stream starts."""
        info = get_worker_info()
        own, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        size = self.options.batch_size
        first = self.start // (size * self.ranks)
        images = sum(part.stop - part.first for part in self.parts)
        return WorkerShare(images, size, self.rank, self.ranks, (first + own) % workers, workers)

    def _samples(self, worker: WorkerShare) -> Iterator[tuple[int, Pixels]]:
        """(sample number, decoded image) from ``start`` on."""
        m = worker.count(self.start)
        epoch = self.start // worker.images
        while True:
            base = worker.count(epoch * worker.images)
            share = worker.share(epoch)
            yield from self._epoch(worker, epoch, share, base, m - base)
            m = base + share[1] - share[0]
            epoch += 1

    def _epoch(
        self, worker: WorkerShare, epoch: int, share: tuple[int, int], base: int, done: int
    ) -> Iterator[tuple[int, Pixels]]:
        seed = self.options.seed
        todo = [b for b in blocks(share[1] - share[0], self.shuffle) if b.stop > done]
        if not todo:
            return
        begin = share[0] + todo[0].first
        members = self._members(shard_ranges(self.parts, seed, epoch, begin, share[1]))
        for first, stop in todo:
            held = [next(members) for _ in range(first, stop)]
            rng = np.random.default_rng([seed, epoch, worker.id, first, 2])
            held = [held[k] for k in rng.permutation(len(held))]
            for place in range(max(done - first, 0), len(held)):
                yield worker.number(base + first + place), self._decode(held, place)

    def _members(self, found: Sequence[ShardRange]) -> Iterator[Member]:
        for number, first, stop in found:
            shard = self.index.shards[number]
            yield from read_members(join(self.root, shard.name), first, stop, shard.images)

    def _decode(self, held: Sequence[Member], place: int) -> Pixels:
        """An image that cannot be decoded is replaced by the next one of its block."""
        for step in range(len(held)):
            member = held[(place + step) % len(held)]
            try:
                image = PackedPhoto(*member).decode()
                if min(image.shape[:2]) < self.options.crop:
                    raise UnreadableImageError(f"smaller than data.crop={self.options.crop}")
                return image
            except UnreadableImageError as error:
                if not self._warned:
                    self._warned = True
                    warnings.warn(
                        f"{member.name} cannot be used ({error}); another photo takes its place. "
                        "Further ones are replaced without a word.",
                        DataWarning,
                        stacklevel=2,
                    )
        raise DataError(
            f"none of {len(held)} photos in a row can be used, such as {held[0].name} in "
            f"{self.root}. Fix: check the shards, or lower data.crop={self.options.crop}."
        )
