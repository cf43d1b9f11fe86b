"""What a codec costs: parameters, multiply-accumulates per image pixel, times."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tngexp.bitstream import ImageCodec
from tngexp.hybrid.model import Hybrid, condition_of
from tngexp.hybrid.origin import Origin
from tngexp.model.codec import Codec
from tngexp.priors import Count

__all__ = [
    "HEIGHT",
    "WIDTH",
    "Part",
    "Report",
    "details",
    "hybrid_details",
    "measure",
    "measure_hybrid",
    "table",
]

WIDTH, HEIGHT = 768, 512


ANALYSIS, SYNTHESIS = "encoder (analysis)", "decoder (synthesis)"


NETWORK = "network behind a codec"


SIDE = "prior, hyper-latent"  # what the encoder alone runs of the prior


class Part(NamedTuple):
    """One network of a codec."""

    name: str
    parameters: int
    kmacs_per_pixel: float  # thousands of multiply-accumulates per pixel of the image
    seconds: float  # one forward pass (a context: of all its steps), median
    decoder: bool = False  # a network of the prior that decoding runs


class Report(NamedTuple):
    """What :func:`measure` found."""

    parts: list[Part]
    parameters: int  # of the whole codec, densities and gains included
    decode_steps: int  # 0 for a network behind other codecs
    compress_s: float | None  # whole image to bytes; None where not measured
    decompress_s: float | None
    file_bytes: int | None
    device: str
    width: int
    height: int


@torch.no_grad()
def measure(
    codec: ImageCodec, width: int = WIDTH, height: int = HEIGHT, repeats: int = 3, code: bool = True
) -> Report:
    """Count and time a codec in evaluation mode on its own device.

    The prior is counted as a decoder runs it: every step of its schedule, with all elements that
    a step evaluates, whether or not it uses them.

    Args:
        codec: any codec.
        width: of the test image, as ``height``; padded to the codec's stride.
        repeats: of each measurement, after one that does not count.
        code: also time ``compress`` and ``decompress`` with real bytes.
    """
    model = codec.model
    device = next(model.parameters()).device
    image = _test_image(height, width).to(device)
    x = F.pad(
        image.unsqueeze(0), (0, -width % model.stride, 0, -height % model.stride), mode="replicate"
    )
    y = model.transform.analysis(x)
    pixels = width * height
    runs: list[tuple[str, nn.Module, Callable[[], object]]] = [
        (ANALYSIS, model.transform.analysis, lambda: model.transform.analysis(x)),
        (SYNTHESIS, model.transform.synthesis, lambda: model.transform.synthesis(y)),
        (SIDE, model.prior, lambda: model.prior.latents(y)),
    ]
    counted = _decoding(model, Count(), tuple(y.shape))
    own = _own_parameters([*(module for _, module, _ in runs), *counted.cost])
    parts = [
        Part(name, own[module], macs / pixels / 1000, _seconds(run, repeats, device))
        for name, module, run in runs
        if (macs := _macs(run))
    ]
    timed = [
        _decoding(model, Count(lambda: _clock(device)), tuple(y.shape)) for _ in range(repeats)
    ]
    names = {module: name for name, module in model.prior.named_modules()}
    parts += [
        Part(
            f"prior {names[module]}",
            own[module],
            macs / pixels / 1000,
            statistics.median(port.cost[module] for port in timed),
            decoder=True,
        )
        for module, macs in counted.cost.items()
    ]
    compress_s = decompress_s = file_bytes = None
    if code:
        quality = 0.5 if model.rate.variable else None
        data = codec.compress(image, quality)
        compress_s = _seconds(lambda: codec.compress(image, quality), repeats, device, warm=True)
        decompress_s = _seconds(lambda: codec.decompress(data), repeats, device)
        file_bytes = len(data)
    return Report(
        parts,
        _parameters(model),
        len(counted.sites["y"]),
        compress_s,
        decompress_s,
        file_bytes,
        _device_name(device),
        width,
        height,
    )


def details(codec: ImageCodec) -> dict[str, float]:
    """What a comparison shows of a codec's size: parameters and kMAC per pixel, prior included."""
    report = measure(codec, repeats=1, code=False)
    kmacs = {part.name: part.kmacs_per_pixel for part in report.parts}
    return {
        "parameters": report.parameters,
        "encoder_kmac": sum(kmacs.values()) - kmacs[SYNTHESIS],
        "decoder_kmac": kmacs[SYNTHESIS] + _prior_kmac(report),
        "decode_steps": report.decode_steps,
    }


@torch.no_grad()
def measure_hybrid(
    hybrid: Hybrid, width: int = WIDTH, height: int = HEIGHT, repeats: int = 3
) -> Report:
    """Count and time a network behind other codecs, without those.

    Args:
        hybrid: in evaluation mode.
        width: of the test image, as ``height``.
        repeats: of the timing, after one that does not count.
    """
    device = next(hybrid.parameters()).device
    image = _test_image(height, width)
    rgb = image.permute(1, 2, 0).mul(255).round().to(torch.uint8).numpy()
    condition = condition_of(Origin("jpeg", 20.0, 20.0, True))
    macs = _macs(lambda: hybrid(image[None].to(device), condition[None]))
    seconds = _seconds(lambda: hybrid.restore(rgb, condition), repeats, device)
    count = _parameters(hybrid)
    part = Part(NETWORK, count, macs / (width * height) / 1000, seconds, decoder=True)
    return Report([part], count, 0, None, None, None, _device_name(device), width, height)


def hybrid_details(hybrid: Hybrid) -> dict[str, float]:
    """:func:`details` of a network behind other codecs, whose own cost is not counted."""
    (part,) = measure_hybrid(hybrid, repeats=1).parts
    return {
        "parameters": part.parameters,
        "encoder_kmac": 0.0,
        "decoder_kmac": part.kmacs_per_pixel,
        "decode_steps": 0,
    }


def table(report: Report, name: str) -> str:
    """The report as text."""
    lines = [
        f"{name}: {report.width}×{report.height} image, {report.device}",
        f"{'part':<22}{'parameters':>12}{'kMAC/pixel':>12}{'ms':>10}",
        *(
            f"{p.name:<22}{p.parameters:>12,}{p.kmacs_per_pixel:>12.2f}{1000 * p.seconds:>10.1f}"
            for p in report.parts
        ),
    ]
    if report.decode_steps:
        lines.append(f"{'prior when decoding':<22}{'':>12}{_prior_kmac(report):>12.2f}")
        lines.append(f"{'whole codec':<22}{report.parameters:>12,}")
        lines.append(f"decode steps {report.decode_steps}")
    if report.compress_s is not None:
        lines.append(
            f"image → file {report.compress_s:.3f} s, file → image {report.decompress_s:.3f} s "
            f"({report.file_bytes:,} bytes)"
        )
    return "\n".join(lines)


def _decoding(codec: Codec, port: Count, size: tuple[int, ...]) -> Count:
    codec.prior.walk(port, None, codec.quantizer, size)
    return port


def _prior_kmac(report: Report) -> float:
    return sum(part.kmacs_per_pixel for part in report.parts if part.decoder)


def _own_parameters(modules: list[nn.Module]) -> dict[nn.Module, int]:
    """The parameters of each module that are in none of its parts among ``modules``."""
    seen: set[int] = set()
    own = {}
    for module in sorted(modules, key=_parameters):
        new = [p for p in module.parameters() if id(p) not in seen]
        seen.update(id(p) for p in new)
        own[module] = sum(p.numel() for p in new)
    return own


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _macs(run: Callable[[], object]) -> float:
    """Multiply-accumulates of convolutions and matrix products; torch counts each as two."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2


def _seconds(
    run: Callable[[], object], repeats: int, device: torch.device, warm: bool = False
) -> float:
    if not warm:
        run()
    times = []
    for _ in range(repeats):
        _synchronize(device)
        start = time.perf_counter()
        run()
        _synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _clock(device: torch.device) -> float:
    _synchronize(device)
    return time.perf_counter()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _test_image(height: int, width: int) -> Tensor:
    """A picture with flat, smooth and noisy areas, (3, H, W) in [0, 1]; always the same."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.zeros(1, 3, height, width)
    for cells in (3, 12, 48, 192):
        noise = torch.rand(1, 3, cells, cells, generator=generator) - 0.5
        picture += F.interpolate(noise, (height, width), mode="bilinear") * 1.5 / cells**0.5
    return (picture[0] + 0.5).clamp(0, 1)
