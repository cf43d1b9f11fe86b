"""Does the loader keep up? Training pairs a second, by codec, beside what a network learns from.

    python benchmarks/pairs.py [--post light] [--crop 192] [--samples 24]

Everything in one process, on photos that come with the package; a second worker doubles the left
column. ``again`` is the second time, when the files of slow codecs come from the disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import default_collate

from tngexp.datasets.sample import SampleDataModule
from tngexp.hybrid.model import BASES
from tngexp.hybrid.pairs import Pair, PairMaker
from tngexp.schema.compose import configuration
from tngexp.training.hybrid import LitHybrid

BATCH = 8


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--post", default="depthwise")
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--samples", type=int, default=24)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    crops = photos(arguments.crop, arguments.samples)
    print(f"{'codec':<10}{'pairs/s':>10}{'again':>10}")
    pairs: list[Pair] = []
    for name in BASES:
        with tempfile.TemporaryDirectory() as folder:
            make = PairMaker([name], (1, 1.5, 2), cache=Path(folder))
            first, again = (rate(make, crops) for _ in range(2))
            pairs = [make(crop, number) for number, crop in enumerate(crops[:BATCH])]
        print(f"{name:<10}{first:>10.1f}{again:>10.1f}")
    taken = learning(arguments.post, pairs)
    print(f"training post={arguments.post} takes {taken:.1f} pairs/s")


def photos(side: int, count: int) -> list[Tensor]:
    """Crops of the package's photos."""
    data = SampleDataModule(crop=side, batch_size=1, num_workers=0)
    batches = iter(data.train_dataloader())
    return [next(batches)[0] for _ in range(count)]


def rate(make: PairMaker, crops: list[Tensor]) -> float:
    """Pairs a second."""
    start = time.perf_counter()
    for number, crop in enumerate(crops):
        make(crop, number)
    return len(crops) / (time.perf_counter() - start)


def learning(post: str, pairs: list[Pair]) -> float:
    """Pairs that training takes in a second."""
    config = configuration("model=hybrid", f"post={post}", "loss=mse")
    lit = LitHybrid.from_config(config, checkpoint_info={})
    batch = default_collate(pairs)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        lit.terms(batch).loss.backward()  # type: ignore[no-untyped-call]
        best = min(best, time.perf_counter() - start)
    return len(pairs) / best


if __name__ == "__main__":
    main()
