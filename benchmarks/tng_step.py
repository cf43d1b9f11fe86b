"""A training step of the tng model against its arithmetic floor.

    python benchmarks/tng_step.py [--batch 8] [--crop 256] [--loss mse]

The floor is what the step's multiplies would take if all ran as fast as a large matrix product in
the precision that training uses: FLOPs of forward and backward over the measured rate of a
2048×2048×2048 product. The step is that of the engine: autocast, channels_last,
the variable rate's draw of qualities, gradient clipping, the optimizer. The profile says what the
time beyond the floor is spent on.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from tngexp.common.configuration import CONF_DIR
from tngexp.devices.allocator import keep_freed_memory
from tngexp.devices.precision import resolve_precision
from tngexp.model.build import build
from tngexp.model.codec import Codec
from tngexp.schema.store import register_config
from tngexp.training.module import LitCodec

CONVOLUTION = ("convolution", "addmm", "matmul", "bmm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--loss", default="mse")
    parser.add_argument("--repeats", type=int, default=12)
    arguments = parser.parse_args()

    keep_freed_memory()
    step = make_step(arguments.loss, arguments.batch, arguments.crop)
    flops = step_flops(step)
    seconds = median(step, arguments.repeats)
    rate = product_rate()
    floor = flops / rate
    print(f"{torch.get_num_threads()} threads, {'bf16' if reduced() else 'float32'}")
    print(f"step          {seconds:.3f} s, {arguments.batch / seconds:.1f} images/s")
    print(f"arithmetic    {flops / 1e9:.0f} GFLOP, matrix product {rate / 1e12:.3f} TFLOP/s")
    print(f"floor         {floor:.3f} s; step / floor = {seconds / floor:.2f}")
    for name, share in shares(step):
        print(f"  {share:5.1%}  {name}")


def step_flops(step: Callable[[], None]) -> int:
    """FLOPs of forward and backward, two for each multiplication."""
    formulas = {torch.ops.aten.convolution_backward: backward_flops}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        step()
    return counter.get_total_flops()


def backward_flops(
    grad_shape: Sequence[int],
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    *arguments: Any,
    **_: Any,
) -> int:
    """FLOPs of a convolution's gradients: each that is wanted costs what the forward does.

    torch's own formula leaves out the groups, and counts the weight gradient of a depthwise
    convolution as often as it has channels.
    """
    transposed, mask = arguments[4], arguments[7]
    per_position = math.prod(weight_shape)
    positions = x_shape[0] * math.prod((x_shape if transposed else grad_shape)[2:])
    return 2 * positions * per_position * (bool(mask[0]) + bool(mask[1]))


def make_step(
    loss_name: str, batch: int, crop: int, overrides: Sequence[str] = (), ranks: int = 1
) -> Callable[[], None]:
    """One optimizer step on noise, as the engine takes it; averaged over ``ranks`` processes."""
    register_config()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", ["model=tng", f"loss={loss_name}", *overrides])
    OmegaConf.set_struct(config, False)
    config.run_dir, config.name = ".", "step"
    config.pop("hydra", None)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    codec = Codec.from_config(LitCodec.describe(plain), trusted=True).train()
    codec.to(memory_format=torch.channels_last)
    model = codec if ranks == 1 else DistributedDataParallel(codec)
    loss = build(plain["loss"], trusted=True)
    optimizer = torch.optim.AdamW(codec.parameters(), lr=1e-4, fused=True)
    x = torch.rand(batch, 3, crop, crop).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced()):
            quality = codec.rate.sample(batch)
            terms = loss(model(x, quality), x, quality)
        terms.loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def reduced() -> bool:
    """Whether training multiplies in bf16 here."""
    return "bf16" in resolve_precision("auto", torch.device("cpu"))


def product_rate(size: int = 2048) -> float:
    """FLOP/s of a large matrix product."""
    dtype = torch.bfloat16 if reduced() else torch.float32
    a, b = (torch.rand(size, size, dtype=dtype) for _ in range(2))
    return 2 * size**3 / median(lambda: a @ b, 10)


def median(run: Callable[[], object], repeats: int) -> float:
    for _ in range(2):
        run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def shares(step: Callable[[], None]) -> list[tuple[str, float]]:
    """Where a step's CPU time goes."""
    with profile(activities=[ProfilerActivity.CPU]) as result:
        for _ in range(3):
            step()
    events = result.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    heavy = sum(
        event.self_cpu_time_total
        for event in events
        if any(word in event.key for word in CONVOLUTION)
    )
    others = sorted(
        (
            (event.key, event.self_cpu_time_total / total)
            for event in events
            if not any(word in event.key for word in CONVOLUTION)
        ),
        key=lambda pair: -pair[1],
    )
    return [("convolutions and products", heavy / total), *others[:8]]


if __name__ == "__main__":
    main()
