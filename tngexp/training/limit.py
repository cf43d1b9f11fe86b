"""``max_kmac``: a codec that would be too slow to decode is not trained at all."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from tngexp.hybrid.model import Hybrid, condition_of
from tngexp.model.codec import Codec
from tngexp.priors import Count
from tngexp.types import ConfigError

__all__ = ["TooComplexError", "check_complexity", "decoder_kmac", "post_kmac"]

_SIDE = 256  # of the counted image; the figure is per pixel


class TooComplexError(ConfigError):
    """A codec above ``max_kmac``; worth an infinite loss to a search."""

    def __init__(self, kmac: float, limit: float, lower: str) -> None:
        super().__init__(
            f"decoding would take {kmac:.1f} kMAC per pixel, above max_kmac={limit:g}: not "
            f"trained. Lower {lower}, or raise max_kmac (null for no limit)."
        )


def check_complexity(codec: Codec | Hybrid, limit: float | None) -> None:
    """Raises TooComplexError for a codec above ``limit``, ConfigError for a limit of no use."""
    if limit is None:
        return
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
        raise ConfigError(f"max_kmac={limit!r} must be a number above 0, or null for no limit.")
    kmac = post_kmac(codec) if isinstance(codec, Hybrid) else decoder_kmac(codec)
    if kmac > limit:
        hybrid = isinstance(codec, Hybrid)
        lower = "post.channels or post.blocks" if hybrid else "encoder.N or encoder.M"
        raise TooComplexError(kmac, limit, lower)


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


@torch.no_grad()
def post_kmac(hybrid: Hybrid) -> float:
    """Thousands of multiply-accumulates per pixel to restore a picture, without the codec's own."""
    side = -(-_SIDE // hybrid.stride) * hybrid.stride
    device = next(hybrid.parameters()).device
    with FlopCounterMode(display=False) as counter:
        hybrid(torch.zeros(1, 3, side, side, device=device), condition_of(None)[None])
    return counter.get_total_flops() / 2 / side**2 / 1000
