"""Throughput and memory of training against size, batch, width, qualities and processes.

    python benchmarks/scaling.py [--model tng] [--repeats 5]
    python benchmarks/scaling.py --shards 43000 --images 2300

Each line is a process of its own, so that its peak memory is its own: optimizer steps on noise, as
the engine takes them. Two processes average their gradients with gloo and share the threads. The
second form times what a data set of so many shards costs before its first image.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from tng_step import make_step, median, step_flops
from torch import distributed, multiprocessing
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tngexp.datasets.shards.index import Shard, ShardIndex, load_index
from tngexp.datasets.shards.order import ShardRange, WorkerShare, shard_ranges
from tngexp.devices.allocator import keep_freed_memory
from tngexp.evaluation.memory import PeakMemory

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """What a training step is measured for."""

    model: str = "tng"
    batch: int = 8  # per process
    crop: int = 256
    width: int = 192  # encoder.N and encoder.M
    levels: int = 8  # qualities of one training; 1: rate=fixed
    processes: int = 1

    @property
    def overrides(self) -> list[str]:
        """Of conf/train.yaml."""
        rate = (
            ["rate=fixed"] if self.levels == 1 else ["rate=variable", f"rate.levels={self.levels}"]
        )
        return [f"model={self.model}", f"encoder.N={self.width}", f"encoder.M={self.width}", *rate]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="tng")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--shards", type=int)
    parser.add_argument("--images", type=int, default=2300, help="in a shard")
    arguments = parser.parse_args()

    if arguments.shards:
        print_shards(arguments.shards, arguments.images)
    elif arguments.point:
        print(json.dumps(measure(Point(**arguments.point), arguments.repeats)))
    else:
        print_points(arguments.model, arguments.repeats)


def points(model: str) -> list[Point]:
    """One thing varied at a time."""
    return [
        *(Point(model, crop=crop, batch=2) for crop in (128, 256, 512)),
        *(Point(model, batch=batch) for batch in (1, 2, 4, 8, 16)),
        *(Point(model, width=width) for width in (96, 192, 288)),
        *(Point(model, levels=levels) for levels in (1, 8, 32)),
        *(Point(model, batch=8 // ranks, processes=ranks) for ranks in (1, 2)),
    ]


def print_points(model: str, repeats: int) -> None:
    print(f"{torch.get_num_threads()} threads, model={model}")
    print(
        "batch  crop  width  levels  processes   images/s  GFLOP/image  MB/image  operations"
        "  peak MiB"
    )
    seen: dict[Point, dict[str, float]] = {}
    for point in points(model):
        if point not in seen:
            seen[point] = run_alone(point, repeats)
        figures = seen[point]
        print(
            f"{point.batch:5}  {point.crop:4}  {point.width:5}  {point.levels:6}  "
            f"{point.processes:9}   {figures['images_per_s']:8.2f}  {figures['gflop']:11.1f}  "
            f"{figures['megabytes']:8.0f}  {figures['calls']:10.0f}  "
            f"{figures['peak_mib']:8.0f}",
            flush=True,
        )


def run_alone(point: Point, repeats: int) -> dict[str, float]:
    """The figures of ``point`` from a fresh process."""
    command = [sys.executable, __file__, "--repeats", str(repeats), "--point"]
    done = subprocess.run(
        [*command, json.dumps(asdict(point))], check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(point: Point, repeats: int) -> dict[str, float]:
    """Images per second of all processes, and arithmetic and peak memory of one of them."""
    if point.processes == 1:
        return measure_here(point, repeats)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29533"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        multiprocessing.spawn(one_rank, (point, repeats, out), nprocs=point.processes)
        figures: dict[str, float] = json.loads(out.read_text())
    return figures


def one_rank(rank: int, point: Point, repeats: int, out: Path) -> None:
    torch.set_num_threads(max(1, torch.get_num_threads() // point.processes))
    distributed.init_process_group("gloo", rank=rank, world_size=point.processes)
    figures = measure_here(point, repeats)
    if rank == 0:
        out.write_text(json.dumps(figures))
    distributed.destroy_process_group()


def measure_here(point: Point, repeats: int) -> dict[str, float]:
    keep_freed_memory()
    memory = PeakMemory(torch.device("cpu"))
    step = make_step("mse", point.batch, point.crop, point.overrides, point.processes)
    flops = step_flops(step)
    with CallCounter() as calls:
        step()
    seconds = median(step, repeats)
    return {
        "images_per_s": point.batch * point.processes / seconds,
        "gflop": flops / point.batch / 1e9,
        "calls": calls.count,
        "megabytes": calls.bytes / point.batch / 1e6,
        "peak_mib": memory.mib() or float("nan"),
    }


class CallCounter(TorchDispatchMode):
    """Counts the operations of a step that touch memory, which a GPU would launch as kernels, and
    the bytes they read and write, each tensor once per operation: the traffic without fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.count += 1
            touched = tree_leaves((args, kwargs, result))
            self.bytes += sum(t.nbytes for t in touched if isinstance(t, torch.Tensor))
        return result


def print_shards(count: int, images: int) -> None:
    """What stands between the start of a run and its first sample, but for the reading."""
    index = ShardIndex(tuple(Shard(f"shard-{k:06}.tar", images, 0) for k in range(count)))
    with tempfile.TemporaryDirectory() as folder:
        for shard in index.shards:
            Path(folder, shard.name).touch()
        index.save(Path(folder))
        size = Path(folder, "index.json").stat().st_size
        read, (_, index) = timed(lambda: load_index(folder))
    parts = [ShardRange(k, 0, images) for k in range(count)]
    worker = WorkerShare(index.images, batch=32, rank=799, ranks=800, worker=7, workers=8)

    def first_epoch() -> Any:
        return shard_ranges(parts, 0, 0, *worker.share(0))

    plan, found = timed(first_epoch)
    print(f"{count} shards, {index.images:.2e} images, index of {size / 2**20:.1f} MiB")
    print(f"read and checked in {read:.2f} s")
    print(f"epoch planned in {plan:.2f} s by the last of 6,400 workers: {len(found)} shards")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
