"""How fast does a training step run, next to CompressAI's?

    python benchmarks/train_step.py [--steps 12] [--batch 4] [--crop 256] [--json FILE]

Both train a mean-scale hyperprior (N=128, M=192; Minnen et al. 2018) on the same batch, taking
turns in one process (an untimed step and a timed one each), so that whatever else the machine does
slows both. One is this project's
preset ``model=hyperprior loss=mse`` at the precision that ``trainer.precision=auto`` chooses, the
other is CompressAI's own model class in float32, trained as its ``examples/train.py`` does: Adam,
gradient clipping, and a second optimizer for the quantiles. Each runs with the allocator settings
of its own training: ours keeps freed memory, see ``tngexp.devices.allocator``. Loading, logging
and averaging weights (a callback here, absent there) are left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor, nn

from tngexp.common.configuration import CONF_DIR
from tngexp.devices.allocator import keep_freed_memory, return_freed_memory
from tngexp.devices.hardware import multiplies_bf16
from tngexp.devices.precision import resolve_precision
from tngexp.model.build import build
from tngexp.model.codec import Codec
from tngexp.schema.store import register_config
from tngexp.training.module import LitCodec

__all__ = ["compressai_step", "main", "our_step"]

Step = Callable[[Tensor], Tensor]
"""uint8 batch (B, 3, H, W) → the loss, after the weights have been updated."""


def our_step(N: int, M: int, precision: str, device: torch.device) -> Step:
    """Forward, backward, clipping and optimizer as :class:`tngexp.training.module.LitCodec`."""
    register_config()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        chosen = ["model=hyperprior", "loss=mse", f"encoder.N={N}", f"encoder.M={M}"]
        config: Any = OmegaConf.to_container(compose("train", chosen).copy(), resolve=False)
    for key in ("hydra", "run_dir", "name", "group", "callbacks", "logger"):
        config.pop(key, None)  # refer to a running job
    config = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    codec = Codec.from_config(LitCodec.describe(config), trusted=True)
    codec.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    loss = build(config["loss"], trusted=True)
    parameters = [p for p in codec.parameters() if p.requires_grad]
    options = {k: v for k, v in config["optimizer"].items() if k != "_target_"}
    optimizer = getattr(torch.optim, config["optimizer"]["_target_"].rpartition(".")[2])(
        parameters, **options
    )
    clip = config["trainer"]["gradient_clip_val"]

    def step(batch: Tensor) -> Tensor:
        x = (batch.float() / 255).to(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            terms = loss(codec(x, None), x, None)
        terms.loss.backward()
        nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        result: Tensor = terms.loss.detach()
        return result

    return step


def compressai_step(N: int, M: int, device: torch.device) -> Step:
    """CompressAI's ``MeanScaleHyperprior`` with the loop of its ``examples/train.py``."""
    from compressai.losses import RateDistortionLoss
    from compressai.models import MeanScaleHyperprior

    model = MeanScaleHyperprior(N, M).to(device).train()
    criterion = RateDistortionLoss(lmbda=1e-2)
    named = dict(model.named_parameters())
    main_parameters = [p for n, p in named.items() if not n.endswith(".quantiles")]
    optimizer = torch.optim.Adam(main_parameters, lr=1e-4)
    aux = torch.optim.Adam([p for n, p in named.items() if n.endswith(".quantiles")], lr=1e-3)

    def step(batch: Tensor) -> Tensor:
        x = batch.float() / 255
        optimizer.zero_grad()
        aux.zero_grad()
        loss: Tensor = criterion(model(x), x)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.aux_loss().backward()
        aux.step()
        return loss.detach()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each")
    parser.add_argument("--warmup", type=int, default=2, help="steps of each before timing")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="auto", help="ours: auto, 32-true or bf16-mixed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--N", type=int, default=128)
    parser.add_argument("--M", type=int, default=192)
    args = parser.parse_args()

    device = torch.device(args.device)
    precision = resolve_precision(args.precision, device)
    torch.manual_seed(0)
    steps = {
        f"tngexp, {precision}, channels_last": (
            our_step(args.N, args.M, precision, device),
            keep_freed_memory,
        ),
        "CompressAI, 32-true": (compressai_step(args.N, args.M, device), return_freed_memory),
    }
    batch = torch.randint(0, 256, (args.batch, 3, args.crop, args.crop), dtype=torch.uint8)
    batch = batch.to(device)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for turn in range(args.warmup + args.steps):
        for name, (step, allocate) in steps.items():
            allocate()
            step(batch)  # untimed: the other's step has moved the heap and the caches
            elapsed, loss = _timed(step, batch)
            if not torch.isfinite(loss):
                raise SystemExit(f"error: the loss of {name} is {float(loss)}")
            if turn >= args.warmup:
                seconds[name].append(elapsed)
    _report(args, device, precision, seconds)


def _timed(step: Step, batch: Tensor) -> tuple[tuple[float, float], Tensor]:
    """Wall-clock and CPU seconds of a step, and its loss."""
    start, cpu = time.perf_counter(), time.process_time()
    loss = step(batch)
    if batch.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start, time.process_time() - cpu), loss


def _report(
    args: argparse.Namespace,
    device: torch.device,
    precision: str,
    seconds: dict[str, list[tuple[float, float]]],
) -> None:
    medians = {name: statistics.median(t for t, _ in ts) for name, ts in seconds.items()}
    cpu = {name: statistics.median(t for _, t in ts) for name, ts in seconds.items()}
    ours, theirs = medians.values()
    processor = torch.cuda.get_device_name() if device.type == "cuda" else _cpu_name()
    bf16 = "multiplies bf16" if multiplies_bf16() else "no bf16 arithmetic"
    print(
        f"mean-scale hyperprior N={args.N} M={args.M}, batch {args.batch} of {args.crop}², "
        f"median of {args.steps} alternating steps\n"
        f"{processor}, {torch.get_num_threads()} threads, CPU {bf16}; torch {torch.__version__}"
    )
    print(f"{'':<36}{'s/step':>8}{'min':>8}{'max':>8}{'CPU s':>8}{'images/s':>10}")
    for name, timed in seconds.items():
        times = [wall for wall, _ in timed]
        median = medians[name]
        print(
            f"{name:<36}{median:>8.3f}{min(times):>8.3f}{max(times):>8.3f}"
            f"{cpu[name]:>8.3f}{args.batch / median:>10.2f}"
        )
    our_cpu, their_cpu = cpu.values()
    # CPU time with OMP_NUM_THREADS=1 is the steadier measure where other work shares the machine.
    print(f"ratio {theirs / ours:.2f}, of CPU time {their_cpu / our_cpu:.2f}")
    if args.json:
        figures = {
            "ratio": theirs / ours,
            "images_per_s": {name: args.batch / median for name, median in medians.items()},
            "cpu_ratio": their_cpu / our_cpu,
            "wall_and_cpu_seconds": seconds,
            "processor": processor,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "precision": precision,
            "batch": args.batch,
            "crop": args.crop,
        }
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    with warnings.catch_warnings():
        # compressai imports a part of timm that has moved.
        warnings.filterwarnings("ignore", category=FutureWarning)
        main()
