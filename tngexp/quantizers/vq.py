"""A learned codebook over groups of channels, softly assigned and annealed."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from tngexp.quantizers.alphabets import Codebook, cubes, squared_distances
from tngexp.quantizers.base import Quantizer
from tngexp.types import Alphabet, Cells, ConfigError, Relaxed

__all__ = ["VectorQuantizer"]


@final
class VectorQuantizer(Quantizer):
    """Vector quantization with soft-to-hard annealing (Agustsson et al. 2017, § 3.1–3.3).

    ``group`` neighbouring channels of a position share one symbol, the index of a codeword. While
    training, with q_l = softmax_l(−σ·‖r − c_l‖²), the decoder sees Σ_l q_l·c_l and the rate is
    Σ_l q_l·(−log2 P_l); σ grows geometrically. Evaluation takes the nearest codeword.

    P_l comes from whatever prior there is: the product of the masses that it gives to the unit
    interval around each coordinate of c_l, normalised over the codebook (a categorical). So a
    vector quantizer works with every prior, and a file holds one categorical symbol a group.

    Codewords start as draws of a normal distribution, the first one at zero, where most residuals
    lie.

    Args:
        size: L, codewords; 2 or more.
        group: channels of a codeword; must divide what the prior codes at once, and M.
        sigma_start: σ at the start of training, in 1/residual².
        sigma_end: σ at its end.

    Raises:
        ConfigError: for sizes below that, or σ that does not grow.
    """

    sigma: Tensor

    def __init__(
        self,
        size: int = 32,
        group: int = 2,
        sigma_start: float = 1.0,
        sigma_end: float = 20.0,
    ) -> None:
        super().__init__()
        if size < 2 or group < 1:
            raise ConfigError(f"quantizer=vq needs size ≥ 2 and group ≥ 1, not {size} and {group}")
        if not 0 < sigma_start <= sigma_end:
            raise ConfigError(
                f"quantizer=vq needs 0 < sigma_start ≤ sigma_end, not {sigma_start} and {sigma_end}"
            )
        self.group = group
        self._range = (sigma_start, sigma_end)
        words = 1.5 * torch.randn(size, group)
        words[0] = 0
        self.words = nn.Parameter(words)
        self.register_buffer("sigma", torch.tensor(float(sigma_start)))

    def relax(self, residual: Tensor) -> Relaxed:
        words = self.words.float()
        assignment = torch.softmax(-self.sigma * squared_distances(residual, words), dim=0)
        decoded = torch.einsum("l...,lg->g...", assignment, words)  # (g, B, M/g, *S)
        decoded = decoded.movedim(0, 2).flatten(1, 2)  # (B, M, *S)
        lower, upper = cubes(words, residual.dim())
        return Relaxed(decoded, Cells(lower, upper, assignment, self.group))

    def alphabet(self) -> Alphabet:
        return Codebook.of(self.words)

    def anneal(self, progress: float) -> None:
        start, end = self._range
        self.sigma.fill_(math.exp(math.log(start) + progress * math.log(end / start)))
