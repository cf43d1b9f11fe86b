"""A larger codec that computes what a trained one does, to train on from there.

    python benchmarks/grow.py tng-objective-1 grown.ckpt --N 224 --blocks-analysis 5 --mixture 3
    python -m tngexp.train model=tng2 loss=mse init_from=grown.ckpt …

For codecs with ``encoder=depthwise`` and one Gaussian an element. New channels start as in a new
codec but are read by nothing (Chen et al. 2016, "Net2Net", do it by copying), new blocks add
nothing, and the components of a mixture start around the Gaussian that was there: its scale times
powers of two, most of the weight on the middle one. Prints how far apart the two codecs are.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import tngexp
from tngexp.io import save
from tngexp.model.codec import Codec

_MIDDLE, _OUTER = 0.0, -2.0  # logits of the components at the start
_LAST = ("mix_out", "gate_out")  # layers of a block whose output is added


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="a shipped codec or a checkpoint")
    parser.add_argument("out", type=Path, help="the checkpoint to write")
    parser.add_argument("--N", type=int, help="hidden channels")
    parser.add_argument("--blocks-analysis", type=int)
    parser.add_argument("--blocks-synthesis", type=int)
    parser.add_argument("--mixture", type=int, default=1, help="Gaussians an element, odd")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    old = tngexp.load(arguments.source).model
    new = grow(
        old,
        arguments.N,
        arguments.blocks_analysis,
        arguments.blocks_synthesis,
        arguments.mixture,
    )
    x = F.interpolate(torch.rand(1, 3, 16, 16), size=(256, 256), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        before, after = old(x), new(x)
    print(f"largest difference of x̂: {float((before.x_hat - after.x_hat).abs().max()):.1e}")
    print(f"bits per pixel: {float(before.bpp()):.4f} before, {float(after.bpp()):.4f} after")
    save(new, arguments.out)


@torch.no_grad()
def grow(
    old: Codec,
    channels: int | None = None,
    blocks_analysis: int | None = None,
    blocks_synthesis: int | None = None,
    mixture: int = 1,
) -> Codec:
    """A codec of these sizes (None: as before) with the function of ``old``."""
    config = copy.deepcopy(old.config)
    assert config is not None
    transform = config["transform"]
    sizes = {
        "N": channels,
        "blocks_analysis": blocks_analysis,
        "blocks_synthesis": blocks_synthesis,
    }
    before = {name: transform[name] for name in sizes}
    transform.update({name: size for name, size in sizes.items() if size is not None})
    config["prior"]["mixture"] = mixture
    new = Codec.from_config(config, trusted=True)
    places = {
        "analysis": _places(before["blocks_analysis"], transform["blocks_analysis"], 1),
        "synthesis": _places(before["blocks_synthesis"], transform["blocks_synthesis"], 2),
    }
    stored, weights = old.state_dict(), new.state_dict()
    for name, fresh in weights.items():
        if name.startswith("transform."):
            _, side, index, rest = name.split(".", 3)
            place = places[side][int(index)]
            if place is None:
                if rest.startswith(_LAST):
                    fresh.zero_()
                continue
            of_old = stored[f"transform.{side}.{place}.{rest}"]
            if rest.startswith("gate_in"):  # values and gates, one half each
                for half, part in zip(fresh.chunk(2), of_old.chunk(2), strict=True):
                    _put(half, part)
            else:
                _put(fresh, of_old)
        elif fresh.shape == stored[name].shape:
            fresh.copy_(stored[name])
        else:
            fresh.copy_(_mixture(stored[name], mixture))
    new.load_state_dict(weights)
    return new.eval()


def _places(before: int, after: int, head: int) -> list[int | None]:
    """For each layer its place in the old stack; None for new blocks, which stand in front of the
    layer that follows the blocks (analysis) or of the old ones (synthesis)."""
    new = [None] * (after - before)
    old = list(range(head, head + before))
    blocks = [*old, *new] if head == 1 else [*new, *old]
    return [*range(head), *blocks, head + before]


def _put(fresh: Tensor, old: Tensor) -> None:
    """Old weights into the first rows and columns; those rows see nothing of new columns."""
    rows = len(old)
    if old.dim() > 1:
        fresh[:rows] = 0
        fresh[:rows, : old.shape[1]] = old
    else:
        fresh[:rows] = old


def _mixture(old: Tensor, mixture: int) -> Tensor:
    """Rows of an output layer for K components from those of one Gaussian (scales, means)."""
    scale, mean = old.chunk(2)
    factors = [2.0 ** (k - (mixture - 1) / 2) for k in range(mixture)]
    logits = torch.zeros_like(scale).repeat(mixture, *[1] * (scale.dim() - 1))
    if logits.dim() == 1:
        for k, part in enumerate(logits.chunk(mixture)):
            part.fill_(_MIDDLE if k == (mixture - 1) // 2 else _OUTER)
    else:
        logits.normal_(std=1e-3)
    return torch.cat([*(scale * factor for factor in factors), *[mean] * mixture, logits])


if __name__ == "__main__":
    main()
