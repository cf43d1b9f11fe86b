"""What a critic adds to a training step.

    python benchmarks/adversarial_step.py [--batch 4] [--crop 256] [--critic patch] [OVERRIDE …]

A step of ``model=tng loss=perceptual`` and the same step with a critic, on one batch of noise, take
turns in one process, so that whatever else the machine does slows both. Steps are those of the
engine: autocast, channels_last, the draw of qualities, clipping, the optimizers; loading, logging
and averaging are left out on both sides. The ramp is over, so the codec gets the critic's gradient;
with ``critic.r1`` every ``critic.r1_every``-th step takes the penalty, and the mean counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import count

import torch
from torch import Tensor

from tngexp.devices.allocator import keep_freed_memory
from tngexp.devices.precision import resolve_precision
from tngexp.schema.compose import configuration
from tngexp.training.adversarial import LitAdversarial
from tngexp.training.gradients import clip
from tngexp.training.module import LitCodec

__all__ = ["main", "make_step"]

_NO_RUN = ("callbacks=minimal", "logger=none", "report=none", "run_dir=.")  # which refer to a run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=16, help="timed steps of each")
    parser.add_argument("--warmup", type=int, default=2, help="steps of each before timing")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--critic", default="patch", help="patch or unet")
    parser.add_argument("--loss", default="perceptual")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("overrides", nargs="*", help="of both, such as loss.weights.msssim=0")
    args = parser.parse_args()

    keep_freed_memory()
    device = torch.device(args.device)
    torch.manual_seed(0)
    words = ["model=tng", f"loss={args.loss}", *args.overrides]
    # Options of the critic would be unknown to the other.
    plain = [word for word in words if not word.startswith("critic")]
    steps = {
        "plain": make_step(plain, device),
        "adversarial": make_step([f"critic={args.critic}", *words], device),
    }
    batch = torch.randint(0, 256, (args.batch, 3, args.crop, args.crop), dtype=torch.uint8)
    batch = batch.to(device)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(args.warmup + args.steps):
        for name, step in steps.items():
            elapsed = timed(step, batch)
            if turn >= args.warmup:
                seconds[name].append(elapsed)
    precision = resolve_precision("auto", device)
    print(f"batch {args.batch} of {args.crop}², critic={args.critic}, {args.steps} steps in turns")
    threads = torch.get_num_threads()
    print(f"{device.type}, {threads} threads, {precision}; torch {torch.__version__}")
    print(f"{'':<14}{'median s':>10}{'mean s':>10}{'min s':>10}")
    for name, times in seconds.items():
        figures = (statistics.median(times), statistics.mean(times), min(times))
        print(f"{name:<14}" + "".join(f"{figure:>10.3f}" for figure in figures))
    ratios = [
        how(seconds["adversarial"]) / how(seconds["plain"])
        for how in (statistics.median, statistics.mean)
    ]
    print(f"ratio of medians {ratios[0]:.2f}, of means {ratios[1]:.2f}")


def make_step(words: Sequence[str], device: torch.device) -> Callable[[Tensor], None]:
    """An optimizer step, or one of both sides, on a uint8 batch (B, 3, H, W)."""
    config = configuration(*words, *_NO_RUN)
    judged = config.get("critic") is not None
    lit = (LitAdversarial if judged else LitCodec).from_config(config, checkpoint_info={})
    lit.to(device).train()
    lit.codec.to(memory_format=torch.channels_last)
    lit.progress = 1.0
    made = lit.configure_optimizers()
    optimizers = made if isinstance(made, list) else [made]
    reduced = "bf16" in resolve_precision("auto", device)
    turn, r1 = count(), lit.critic.r1 if isinstance(lit, LitAdversarial) else 0.0

    def step(batch: Tensor) -> None:
        if isinstance(lit, LitAdversarial):  # without a trainer every step is the first one
            lit.critic.r1 = r1 if next(turn) % lit.critic.r1_every == 0 else 0.0
        with torch.autocast(device.type, torch.bfloat16, enabled=reduced):
            loss = lit.terms(batch).loss
        loss.backward()
        for optimizer in optimizers:
            clip([p for group in optimizer.param_groups for p in group["params"]], 1.0, None)
            optimizer.step()
            optimizer.zero_grad()

    return step


def timed(step: Callable[[Tensor], None], batch: Tensor) -> float:
    """Seconds of one step."""
    started = time.perf_counter()
    step(batch)
    if batch.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
