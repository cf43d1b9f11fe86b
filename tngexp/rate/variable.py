"""One training for the whole RD curve: gain vectors per quality level."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from tngexp.rate.base import Rate
from tngexp.types import ConfigError

__all__ = ["VariableRate"]


@final
class VariableRate(Rate):
    """Gain vectors at encoder and decoder, interpolated between levels (Cui et al. 2021, § 3).

    Level l of L has quality l/(L−1) and λ_l = λ_min·(λ_max/λ_min)^(l/(L−1)). Between levels λ and
    gains are interpolated geometrically (their eq. 7), so every quality in [0, 1] is valid. While
    training each image draws its own level.

    Gains start where high-rate theory puts them: a step size Δ is optimal for λ ∝ 1/Δ², so the
    encoder's gain is √(λ_l / √(λ_min·λ_max)) and the decoder's its inverse.

    Args:
        M: latent channels.
        levels: L ≥ 2.
        lmbda_min: λ of quality 0.
        lmbda_max: λ of quality 1.
        continuous: draw qualities from all of [0, 1] instead of from the levels.

    Raises:
        ConfigError: unless 0 < λ_min < λ_max and L ≥ 2.
    """

    variable = True

    def __init__(
        self,
        M: int,
        levels: int,
        lmbda_min: float,
        lmbda_max: float,
        continuous: bool = False,
    ) -> None:
        super().__init__()
        if levels < 2:
            raise ConfigError(f"rate.levels must be at least 2, not {levels}; or use rate=fixed")
        if not 0 < lmbda_min < lmbda_max:
            raise ConfigError(
                f"rate=variable needs 0 < lmbda_min < lmbda_max, not {lmbda_min} and {lmbda_max}"
            )
        self.levels = levels
        self.continuous = continuous
        self._log_lmbda = (math.log(lmbda_min), math.log(lmbda_max))
        spread = torch.linspace(-0.5, 0.5, levels) * math.log(lmbda_max / lmbda_min) / 2
        log_gain = spread.unsqueeze(1).repeat(1, M)  # (L, M)
        self.log_gain_encoder = nn.Parameter(log_gain)
        self.log_gain_decoder = nn.Parameter(-log_gain)

    def lmbda(self, quality: Tensor | None) -> Tensor:
        quality = self._default(quality)
        low, high = self._log_lmbda
        return torch.exp(low + quality * (high - low))

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
        below = position.floor().long().clamp(max=self.levels - 2)
        weight = (position - below).unsqueeze(1)
        log_gain = torch.lerp(log_gain[below], log_gain[below + 1], weight)  # (B, M)
        return log_gain.exp()[:, :, None, None]

    def _default(self, quality: Tensor | None) -> Tensor:
        if quality is None:
            return self.log_gain_encoder.new_tensor([0.5])
        return quality.to(self.log_gain_encoder)
