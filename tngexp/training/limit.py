"""``max_kmac``: a codec that would be too slow to decode is not trained at all."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from tngexp.model.codec import Codec
from tngexp.priors import Count
from tngexp.types import ConfigError

__all__ = ["TooComplexError", "check_complexity", "decoder_kmac"]

_SIDE = 256  # of the counted image; the figure is per pixel


class TooComplexError(ConfigError):
    """A codec above ``max_kmac``; worth an infinite loss to a search."""

    def __init__(self, kmac: float, limit: float) -> None:
        super().__init__(
            f"decoding would take {kmac:.1f} kMAC per pixel, above max_kmac={limit:g}: not "
            "trained. Lower encoder.N or encoder.M, or raise max_kmac (null for no limit)."
        )


def check_complexity(codec: Codec, limit: float | None) -> None:
    """Raises TooComplexError for a codec above ``limit``, ConfigError for a limit of no use."""
    if limit is None:
        return
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
        raise ConfigError(f"max_kmac={limit!r} must be a number above 0, or null for no limit.")
    kmac = decoder_kmac(codec)
    if kmac > limit:
        raise TooComplexError(kmac, limit)


@torch.no_grad()
def decoder_kmac(codec: Codec) -> float:
    """Thousands of multiply-accumulates per pixel to decode: what ``tngexp.complexity`` counts of
    the synthesis and of the prior's walk, without its timing."""
    training = codec.training
    codec.eval()
    side = -(-_SIDE // codec.stride) * codec.stride
    rows = side // codec.transform.stride
    size = (1, codec.transform.latent_channels, rows, rows)
    y = torch.zeros(size, device=next(codec.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        codec.transform.synthesis(y)
    prior = Count()
    codec.prior.walk(prior, None, codec.quantizer, size)
    codec.train(training)
    return (counter.get_total_flops() / 2 + sum(prior.cost.values())) / side**2 / 1000
