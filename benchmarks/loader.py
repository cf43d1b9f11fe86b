"""Does the loader keep up with training?

    python benchmarks/loader.py [--root DIR] [--consumed 10]

Times batches of 4 crops of 256², the way training draws them without worker processes, over one
pass of a data set that is not yet decoded and one pass of the same photos from the cache. Without
``--root`` the embedded data set is used.
"""

from __future__ import annotations

import argparse
import itertools
import time

from torch.utils.data import DataLoader

from tngexp.datasets.crops import CropDataset
from tngexp.datasets.folder import FolderDataModule
from tngexp.datasets.module import ImageDataModule
from tngexp.datasets.sample import SampleDataModule
from tngexp.datasets.sampler import EndlessBatches
from tngexp.types import TngexpError

__all__ = ["main"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="folder of photos; default: the embedded data set")
    parser.add_argument("--images", type=int, default=400, help="photos to use, at most")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument(
        "--consumed", type=float, default=10.0, help="images/s that training consumes"
    )
    args = parser.parse_args()
    try:
        _measure(args)
    except TngexpError as error:
        raise SystemExit(f"error: {error}") from None


def _measure(args: argparse.Namespace) -> None:
    module: ImageDataModule
    if args.root is None:
        module, name = SampleDataModule(crop=args.crop), "sample"
    else:
        module, name = FolderDataModule(args.root, crop=args.crop), args.root
    photos = module.photos.train[: args.images]
    dataset = CropDataset(photos, args.crop)
    loader = DataLoader(
        dataset, batch_sampler=EndlessBatches(args.batch_size), num_workers=args.workers
    )
    batches = iter(loader)
    # Whole passes, so that the second one finds every photo in the cache.
    steps = max(1, len(photos) // args.batch_size)
    print(
        f"data={name}, {len(photos)} photos, batches of {args.batch_size} crops of {args.crop}², "
        f"{args.workers} workers; training consumes {args.consumed:g} images/s"
    )
    print(f"{'pass':<22}{'images/s':>10}{'ms/image':>10}{'× training':>12}")
    for label in ("first, decoding", "second, from the cache"):
        start = time.perf_counter()
        for _ in itertools.islice(batches, steps):
            pass
        rate = steps * args.batch_size / (time.perf_counter() - start)
        print(f"{label:<22}{rate:>10.0f}{1e3 / rate:>10.1f}{rate / args.consumed:>12.1f}")
    if args.workers == 0:
        print(f"cache: {dataset.cache.nbytes / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
