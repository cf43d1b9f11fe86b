"""Autoregression over a causal 5×5 neighbourhood, decoded a wavefront at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.priors.base import ContextModel
from tngexp.priors.steps import GatherStep, Step
from tngexp.types import ACTIVATION_LIMIT

__all__ = ["MaskedContext", "parameter_network"]

_KERNEL = 5
_REACH = _KERNEL // 2
# Neighbours above, and left in the same row, as (row, column) offsets: 12 of the 25.
_CAUSAL = [
    (dr, dc) for dr in range(-_REACH, 1) for dc in range(-_REACH, _REACH + 1) if dr < 0 or dc < 0
]


def parameter_network(channels_in: int, channels_out: int, M: int) -> nn.Sequential:
    """1×1 layers that fuse context and side features (Minnen et al. 2018, table 1)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, M * 10 // 3, 1),
        nn.LeakyReLU(0.01),
        nn.Conv2d(M * 10 // 3, M * 8 // 3, 1),
        nn.LeakyReLU(0.01),
        nn.Conv2d(M * 8 // 3, channels_out, 1),
    )


@final
class MaskedContext(ContextModel):
    """Masked 5×5 convolution over decoded latents (Minnen et al. 2018, § 4; van den Oord 2016).

    A position needs only those up and left of it within the kernel, so all positions with the
    same t = column + 3·row are independent given smaller t: an h × w latent takes
    w + 3·(h − 1) steps, not h·w. The model, its symbols and its bits are those of raster order.
    """

    mask: Tensor

    def __init__(self, M: int, parameters: int) -> None:
        super().__init__()
        self.feature_channels = 2 * M
        self.chunk = M
        self.conv = nn.Conv2d(M, 2 * M, _KERNEL, padding=_REACH)
        self.network = parameter_network(4 * M, parameters * M, M)
        mask = torch.zeros(_KERNEL, _KERNEL)
        for dr, dc in _CAUSAL:
            mask[dr + _REACH, dc + _REACH] = 1
        self.register_buffer("mask", mask, persistent=False)
        self._cache: tuple[tuple[int, int], Tensor] | None = None

    def steps(self, height: int, width: int, device: torch.device) -> Iterator[Step]:
        rows = torch.arange(height, device=device)
        for t in range(width + (_REACH + 1) * (height - 1)):
            columns = t - (_REACH + 1) * rows
            inside = (columns >= 0) & (columns < width)
            yield GatherStep(t, rows[inside], columns[inside])

    def forward(self, features: Tensor, y_hat: Tensor, step: Step) -> Tensor:
        assert isinstance(step, GatherStep)
        # Exact arithmetic bounds what a network reads; elsewhere its layers do that themselves.
        neighbours = gather_causal(y_hat, step).clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        context = F.conv1d(neighbours, self._causal_weight(), self.conv.bias)  # (B, 2M, n)
        joined = torch.cat([step.take(features), context], dim=1)
        raw: Tensor = self.network(joined.unsqueeze(-1)).squeeze(-1)
        return raw

    def _causal_weight(self) -> Tensor:
        """The 12 causal taps, (2M, M·12, 1); cached, since a decoder needs them at every step."""
        weight = self.conv.weight
        state = (weight.data_ptr(), weight._version)
        if self._cache is None or self._cache[0] != state or torch.is_grad_enabled():
            taps = [weight[:, :, dr + _REACH, dc + _REACH] for dr, dc in _CAUSAL]
            packed = torch.stack(taps, dim=-1).flatten(1).unsqueeze(-1)
            if torch.is_grad_enabled():
                return packed
            self._cache = (state, packed)
        return self._cache[1]

    def output_layers(self) -> list[nn.Module]:
        return [self.network[-1]]

    def parallel(self, features: Tensor, y_hat: Tensor) -> Tensor:
        weight = self.conv.weight * self.mask
        context = F.conv2d(y_hat, weight, self.conv.bias, padding=_REACH)
        raw: Tensor = self.network(torch.cat([features, context], dim=1))
        return raw


def gather_causal(y_hat: Tensor, step: GatherStep) -> Tensor:
    """The 12 causal neighbours of a step's positions, (B, M·12, n), zero outside the latent."""
    height, width = y_hat.shape[-2:]
    offsets = torch.tensor(_CAUSAL, device=y_hat.device)
    rows = step.rows + offsets[:, :1]  # (12, n)
    columns = step.columns + offsets[:, 1:]
    inside = (rows >= 0) & (columns >= 0) & (columns < width)
    index = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).flatten()
    neighbours = y_hat.flatten(2)[:, :, index].unflatten(2, inside.shape)  # (B, M, 12, n)
    return (neighbours * inside).flatten(1, 2)
