"""Better symbols than the nearest: searches between analysis and writing.

    analysis = codec.analyse(image, quality)
    analysis = greedy(codec, analysis, kappa=70)
    data = codec.write(analysis)

A search changes the latents of an :class:`tngexp.bitstream.Analysis` and nothing else, so the
file is an ordinary one, and any strategy that returns latents can stand in the middle.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tngexp.bitstream.analysis import Analysis
from tngexp.bitstream.coder import ImageCodec
from tngexp.priors import Site, bits
from tngexp.types import Alphabet, ConfigError

__all__ = ["greedy"]


@torch.no_grad()
def greedy(codec: ImageCodec, analysis: Analysis, kappa: float) -> Analysis:
    """Rate-distortion optimised quantization, one site after the other.

    Each element takes, of its nearest symbols, the one with the least bits + κ·(point − y)², under
    the distribution that its context gives it when all earlier choices are made (a greedy form of
    what video coders call RDOQ). How choices change the distributions of later elements is not
    looked at. The hyper-latent takes its nearest symbols: its effect is not on itself.

    Args:
        codec: what ``analysis`` comes from.
        analysis: the image.
        kappa: bits per unit of squared error in the scaled latent, above 0; ∞ is the nearest
            symbol everywhere.

    Raises:
        ConfigError: for κ ≤ 0.
    """
    if not kappa > 0:
        raise ConfigError(
            f"kappa must be above 0, not {kappa}: at 0 every symbol would be the cheapest"
        )

    def choose(site: Site, alphabet: Alphabet, residual: Tensor) -> Tensor:
        if site.name != "y":
            return alphabet.quantize(residual)
        return _cheapest(site, alphabet, residual, kappa)

    coder = codec.prepare().latents
    return analysis.map(lambda latents: coder.settle(latents, choose))


def _cheapest(site: Site, alphabet: Alphabet, residual: Tensor, kappa: float) -> Tensor:
    candidates = alphabet.candidates(residual)  # (C, 1, M/g, *S)
    costs = []
    for symbols in candidates:
        spent = bits(site.distribution, alphabet.cells(symbols)).double()  # (1, M, *S)
        error = (alphabet.dequantize(symbols, torch.float64) - residual).square()
        cost = spent.expand_as(error) + kappa * error
        costs.append(cost.unflatten(1, (-1, alphabet.group)).sum(2))  # (1, M/g, *S)
    best = torch.stack(costs).argmin(0, keepdim=True)
    return candidates.gather(0, best)[0]
