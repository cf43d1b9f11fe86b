"""A small untrained codec and a look for its files, as a training would have left them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from support import checkpoint, scaled_codec

from tngexp.io import save_look
from tngexp.model.codec import Codec

CHANNELS = 3


class Small(NamedTuple):
    base: Path  # the codec
    trained: Path  # a training that changed its synthesis
    look: Path


def other_synthesis(
    codec: Codec, channels: int | None, seed: int = 0, change: float = 0.05
) -> Codec:
    """``codec`` with another synthesis, and noise of so many channels."""
    assert codec.config is not None
    noise = {"_target_": "tngexp.transforms.noise.LatentNoise", "M": 16, "channels": channels}
    twin = Codec.from_config({**codec.config, "noise": None if channels is None else noise})
    twin.load_state_dict(codec.state_dict(), strict=False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in twin.transform.synthesis.parameters():
            parameter.add_(change * torch.randn(parameter.shape, generator=generator))
        if twin.noise is not None:
            for parameter in twin.noise.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return twin.eval()


def small_look(folder: Path, channels: int | None = CHANNELS) -> Small:
    """Write codec, training and look to ``folder``."""
    base, trained, look = (folder / name for name in ("base.ckpt", "run.ckpt", "a.safetensors"))
    codec = scaled_codec()
    checkpoint(codec, base)
    checkpoint(other_synthesis(codec.model, channels), trained)
    save_look(trained, look, of=base)
    return Small(base, trained, look)
