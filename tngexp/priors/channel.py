"""Groups of channels of uneven size, a checkerboard in each, and a correction at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.priors.base import ContextModel
from tngexp.priors.masked import parameter_network
from tngexp.priors.steps import Step
from tngexp.types import ConfigError

__all__ = ["ChannelContext"]

# Shares of the channels: few first, which carry most of the energy and help all others
# (He et al. 2022, § 3.2: 16, 16, 32, 64 and the remaining 192 of 320).
_SHARES = (1 / 12, 1 / 6, 1 / 3, 2 / 3, 1.0)


@final
class ChannelContext(ContextModel):
    """Space-channel context with uneven grouping (He et al. 2022, "ELIC", § 3.2–3.3).

    Channels are decoded in groups, each in two passes of a checkerboard. The first pass predicts
    from z and all earlier groups, the second from the first pass of its own group besides. After
    a group a network predicts what rounding took from it (latent residual prediction, Minnen &
    Singh 2020, § 3.2): ŷ + r with r in ±½. Theirs is ½·tanh; here r is clamped, because decoding
    has to repeat it exactly.

    Args:
        M: latent channels.
        parameters: raw parameters per element.
        groups: channels of each group, adding up to M; empty for shares like those of the paper.

    Raises:
        ConfigError: for groups that do not add up to M.
    """

    def __init__(self, M: int, parameters: int, groups: Sequence[int] = ()) -> None:
        super().__init__()
        sizes = [int(size) for size in groups] or default_groups(M)
        if sum(sizes) != M or min(sizes) < 1:
            raise ConfigError(
                f"prior.context.groups={sizes} must be positive and add up to M; encoder.M is {M}"
            )
        self.feature_channels = 2 * M
        self.chunk = math.gcd(*sizes)
        ends = torch.tensor(sizes).cumsum(0).tolist()
        self._slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        self.channel = nn.ModuleList(_channel_network(s.start, M) for s in self._slices)
        self.space = nn.ModuleList(nn.Conv2d(size, 2 * size, 5, padding=2) for size in sizes)
        self.networks = nn.ModuleList(
            parameter_network(2 * M + (M if s.start else 0) + 2 * size, parameters * size, size)
            for s, size in zip(self._slices, sizes, strict=True)
        )
        self.corrections = nn.ModuleList(_Correction(s, M) for s in self._slices)

    def steps(self, height: int, width: int, device: torch.device) -> list[Step]:
        rows = torch.arange(height, device=device).unsqueeze(1)
        columns = torch.arange(width, device=device)
        anchor = (rows + columns) % 2 == 0  # (h, w)
        return [
            GroupStep(2 * group + half, channels, mask)
            for group, channels in enumerate(self._slices)
            for half, mask in enumerate((anchor, ~anchor))
        ]

    def forward(self, features: Tensor, y_hat: Tensor, step: Step) -> Tensor:
        assert isinstance(step, GroupStep)
        group, half = divmod(step.index, 2)
        known = [features]
        if step.channels.start:
            known.append(self.channel[group](y_hat[:, : step.channels.start]).to(features.dtype))
        own = y_hat[:, step.channels]
        space = self.space[group](own) if half else own.new_zeros(own.shape).repeat(1, 2, 1, 1)
        raw: Tensor = self.networks[group](torch.cat([*known, space.to(features.dtype)], dim=1))
        return raw

    def output_layers(self) -> list[nn.Module]:
        return [network[-1] for network in self.networks if isinstance(network, nn.Sequential)]

    def refinement(self, step: Step) -> nn.Module | None:
        group, half = divmod(step.index, 2)
        return self.corrections[group] if half else None


@final
class GroupStep(Step):
    """The elements of some channels that a mask chooses.

    Args:
        index: position in the schedule.
        channels: which.
        mask: bool, (h, w).
    """

    def __init__(self, index: int, channels: slice, mask: Tensor) -> None:
        self.index = index
        self.channels = channels
        self.mask = mask

    def take(self, full: Tensor) -> Tensor:
        return full[:, self.channels]

    def put(self, full: Tensor, part: Tensor) -> Tensor:
        before, own, after = full.split(
            [
                self.channels.start,
                self.channels.stop - self.channels.start,
                full.shape[1] - self.channels.stop,
            ],
            dim=1,
        )
        return torch.cat([before, torch.where(self.mask, part, own), after], dim=1)

    def flatten(self, part: Tensor) -> Tensor:
        return part[:, self.mask.expand(part.shape[1:])]

    def unflatten(self, values: Tensor, like: Tensor) -> Tensor:
        full = values.new_zeros(like.shape)
        full[:, self.mask.expand(like.shape[1:])] = values
        return full


class _Correction(nn.Module):
    """What rounding took from a group: (features, ŷ) → (B, M, h, w) in ±½, zero elsewhere."""

    def __init__(self, channels: slice, M: int) -> None:
        super().__init__()
        self._channels = channels
        last = nn.Conv2d(M, channels.stop - channels.start, 3, padding=1)
        with torch.no_grad():  # start near no correction
            last.weight.mul_(0.1)
            last.bias.zero_()  # type: ignore[union-attr]
        self.network = nn.Sequential(
            nn.Conv2d(2 * M + channels.stop, M, 1), nn.LeakyReLU(0.01), last
        )

    def forward(self, features: Tensor, y_hat: Tensor) -> Tensor:
        start, stop = self._channels.start, self._channels.stop
        known = torch.cat([features, y_hat[:, :stop].to(features.dtype)], dim=1)
        correction = self.network(known).to(y_hat.dtype).clamp(-0.5, 0.5)
        return F.pad(correction, (0, 0, 0, 0, start, y_hat.shape[1] - stop))


def default_groups(M: int) -> list[int]:
    """The paper's proportions for M channels, in even numbers as far as M allows."""
    ends = [min(M, 2 * round(share * M / 2)) for share in _SHARES[:-1]] + [M]
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    return [size for size in sizes if size > 0]


def _channel_network(known: int, M: int) -> nn.Module:
    """Earlier groups (B, known, h, w) → (B, M, h, w); nothing for the first group."""
    if known == 0:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(known, M, 3, padding=1), nn.LeakyReLU(0.01), nn.Conv2d(M, M, 3, padding=1)
    )
