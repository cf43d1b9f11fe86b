"""One training for the whole RD curve: gain vectors per quality level."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from tngexp.rate.base import Rate
from tngexp.types import ConfigError

__all__ = ["VariableRate"]

_RATIO = 27.0  # λ_max/λ_min of CompressAI's ladders: 26.8 for MSE, 25.2 for MS-SSIM


@final
class VariableRate(Rate):
    """Gain vectors at encoder and decoder, interpolated between levels (Cui et al. 2021, § 3).

    Level l of L has quality l/(L−1). Between levels gains are interpolated geometrically (their
    eq. 7), so every quality in [0, 1] is valid. While training each image draws its own level.

    Args:
        M: latent channels.
        levels: L ≥ 2.
        continuous: draw qualities from all of [0, 1] instead of from the levels.

    Raises:
        ConfigError: for L < 2.
    """

    variable = True

    def __init__(self, M: int, levels: int, continuous: bool = False) -> None:
        super().__init__()
        if levels < 2:
            raise ConfigError(f"rate.levels must be at least 2, not {levels}; or use rate=fixed")
        self.levels = levels
        self.continuous = continuous
        self.log_gain_encoder = nn.Parameter(torch.zeros(levels, M))
        self.log_gain_decoder = nn.Parameter(torch.zeros(levels, M))
        self.spread(_RATIO)

    @torch.no_grad()
    def spread(self, ratio: float) -> None:
        """Start gains for a range of ``ratio`` = λ_max/λ_min, where high-rate theory puts them.

        A step size Δ is optimal for λ ∝ 1/Δ², so with λ_l = λ_min·ratio^(l/(L−1)) the encoder's
        gain is √(λ_l / √(λ_min·λ_max)), which the ratio alone decides, and the decoder's its
        inverse.
        """
        log_gain = torch.linspace(-0.5, 0.5, self.levels) * math.log(ratio) / 2  # (L,)
        self.log_gain_encoder.copy_(log_gain[:, None].expand_as(self.log_gain_encoder))
        self.log_gain_decoder.copy_(-log_gain[:, None].expand_as(self.log_gain_decoder))

    @torch.no_grad()
    def rescale(self, old: tuple[float, float], new: tuple[float, float]) -> None:
        """Carry gains trained for one range of λ over to another: equal λ, equal gains.

        Interpolated linearly in log λ, as between levels, and extrapolated with the slope of the
        outermost two. The gain vectors may be of another number of levels before; afterwards there
        are ``levels`` of them.

        Args:
            old: (λ_min, λ_max) of the gains as they are.
            new: (λ_min, λ_max) of the gains wanted.
        """
        low, high = (math.log(bound) for bound in old)
        first, last = (math.log(bound) for bound in new)
        wanted = torch.linspace(first, last, self.levels, dtype=torch.float64)  # (L,), log λ
        for name in ("log_gain_encoder", "log_gain_decoder"):
            before: nn.Parameter = getattr(self, name)
            position = (wanted - low) / (high - low) * (len(before) - 1)
            after = _between(before, position.to(before.device))
            setattr(self, name, nn.Parameter(after, requires_grad=before.requires_grad))

    def sample(self, batch: int, generator: torch.Generator | None = None) -> Tensor | None:
        device = self.log_gain_encoder.device
        if self.continuous:
            return torch.rand(batch, generator=generator, device=device)
        level = torch.randint(self.levels, (batch,), generator=generator, device=device)
        return level / (self.levels - 1)

    def scale(self, y: Tensor, quality: Tensor | None) -> Tensor:
        return y * self._gain(self.log_gain_encoder, quality)

    def unscale(self, y_hat: Tensor, quality: Tensor | None) -> Tensor:
        return y_hat * self._gain(self.log_gain_decoder, quality)

    def _gain(self, log_gain: Tensor, quality: Tensor | None) -> Tensor:
        position = self._default(quality).reshape(-1).clamp(0, 1) * (self.levels - 1)
        return _between(log_gain, position).exp()[:, :, None, None]  # (B, M, 1, 1)

    def _default(self, quality: Tensor | None) -> Tensor:
        if quality is None:
            return self.log_gain_encoder.new_tensor([0.5])
        return quality.to(self.log_gain_encoder)


def _between(rows: Tensor, position: Tensor) -> Tensor:
    """``rows`` (L, M) at fractional ``position`` (B,), (B, M); beyond the ends straight on."""
    below = position.floor().long().clamp(0, len(rows) - 2)
    weight = (position - below).unsqueeze(1).to(rows)
    return torch.lerp(rows[below], rows[below + 1], weight)
