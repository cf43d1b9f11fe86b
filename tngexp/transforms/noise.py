"""Noise that a decoder draws itself, so that a synthesis can paint texture that no bits tell of."""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from tngexp.layers.convolutions import require_positive
from tngexp.types import Noise

__all__ = ["LatentNoise", "common_noise"]

_WIDTH = math.sqrt(12)  # of a uniform distribution of variance 1


@final
class LatentNoise(Noise):
    """ŷ plus a 1×1 projection of noise channels, which starts at zero.

    It works on ŷ before the gains are undone, where a quantization step is 1 at every quality: the
    noise is as large, beside what rounding took away, at low rates as at high ones.

    Training draws from torch's generator. Evaluation takes the field of seed 0, so that it can be
    repeated; a decoder the field of its file, see :func:`common_noise`.

    Args:
        M: channels of the latent.
        channels: of the noise.

    Raises:
        ConfigError: if either is not a positive integer.
    """

    def __init__(self, M: int, channels: int = 4) -> None:
        super().__init__()
        require_positive("noise", M=M, channels=channels)
        self.channels = channels
        self.projection = nn.Conv2d(channels, M, 1, bias=False)
        nn.init.zeros_(self.projection.weight)

    def forward(self, y_hat: Tensor, field: Tensor | None = None) -> Tensor:
        if field is None:
            field = self._drawn(y_hat)
        noise: Tensor = self.projection(field.to(y_hat.device))
        return y_hat + noise

    def _drawn(self, y_hat: Tensor) -> Tensor:
        size = y_hat.shape[-2:]
        if not self.training:
            return common_noise(0, self.channels, *size)
        uniform = torch.rand(len(y_hat), self.channels, *size, device=y_hat.device)
        return (uniform - 0.5) * _WIDTH


def common_noise(seed: int, channels: int, height: int, width: int) -> Tensor:
    """Noise (1, channels, height, width) that is the same, to the last bit, on every machine.

    Uniform, of mean 0 and variance 1. Element (c, r, s) is made of number
    (r·width + s)·channels + c of the counter-based generator Philox4x64-10 (Salmon et al. 2011,
    § 3.3), of its upper 24 bits: integers up to the last step, a product of float32 numbers that
    every machine rounds alike.

    Args:
        seed: the generator's key, 0 … 2¹²⁸ − 1.
        channels: of the field.
        height: of the field, in latent positions.
        width: likewise.
    """
    raw = np.random.Philox(key=seed).random_raw(height * width * channels)
    odd = 2 * (raw >> np.uint64(40)).astype(np.int64) + 1 - 2**24  # multiples of 2⁻²⁵ in ±½
    uniform = odd.astype(np.float32) * np.float32(2.0**-25)
    field = (uniform * np.float32(_WIDTH)).reshape(height, width, channels)
    return torch.from_numpy(np.ascontiguousarray(field.transpose(2, 0, 1))[None])
