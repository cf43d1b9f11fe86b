"""Four-pass context over space and channels."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from tngexp.priors.base import ContextModel, MaskStep, Step
from tngexp.types import ConfigError

__all__ = ["QuadtreeContext"]

# In step s, channel group g codes the position _ORDER[s][g] = (row, column) of every 2×2 block:
# each step covers all four positions with different channels, so later steps see neighbours on
# all sides in space and in other channel groups at their own position.
_ORDER = [
    [(0, 0), (0, 1), (1, 0), (1, 1)],
    [(1, 1), (1, 0), (0, 1), (0, 0)],
    [(0, 1), (0, 0), (1, 1), (1, 0)],
    [(1, 0), (1, 1), (0, 0), (0, 1)],
]


@final
class QuadtreeContext(ContextModel):
    """Quadtree-partition context (Li et al. 2023, "DCVC-DC", § 3.3).

    The first step predicts from z, the others from z and everything decoded before; each has its
    own input layer and all share the body. Depthwise 5×5 and 1×1 layers keep it cheap.

    Args:
        M: latent channels, a multiple of 4.
        parameters: raw parameters per element.
        hidden: width of the shared body; 0 means 2·M.

    Raises:
        ConfigError: when M is not a multiple of 4.
    """

    def __init__(self, M: int, parameters: int, hidden: int = 0) -> None:
        super().__init__()
        if M % 4:
            raise ConfigError(f"prior=quadtree needs M to be a multiple of 4; encoder.M is {M}")
        hidden = hidden or 2 * M
        self.channels = M
        self.feature_channels = 2 * M
        self.inputs = nn.ModuleList(
            [nn.Conv2d(2 * M, hidden, 1)] + [nn.Conv2d(3 * M, hidden, 1) for _ in _ORDER[1:]]
        )
        self.body = nn.Sequential(
            nn.LeakyReLU(0.01),
            nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden),
            nn.Conv2d(hidden, hidden, 1),
            nn.LeakyReLU(0.01),
            nn.Conv2d(hidden, parameters * M, 1),
        )

    def steps(self, height: int, width: int, device: torch.device) -> list[Step]:
        rows = torch.arange(height, device=device).unsqueeze(1) % 2
        columns = torch.arange(width, device=device) % 2
        steps: list[Step] = []
        for index, order in enumerate(_ORDER):
            masks = torch.stack([(rows == r) & (columns == c) for r, c in order])  # (4, h, w)
            mask = masks.repeat_interleave(self.channels // 4, dim=0)  # (M, h, w)
            steps.append(MaskStep(index, mask))
        return steps

    def forward(self, features: Tensor, y_hat: Tensor, step: Step) -> Tensor:
        known = features
        if step.index > 0:
            known = torch.cat([features, y_hat.to(features.dtype)], dim=1)
        raw: Tensor = self.body(self.inputs[step.index](known))
        return raw

    def decode_steps(self, height: int, width: int) -> int:
        return len(_ORDER)

    def output_layer(self) -> nn.Module:
        return self.body[-1]
