"""Two-pass spatial context on a checkerboard."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from tngexp.priors.base import ContextModel
from tngexp.priors.masked import parameter_network
from tngexp.priors.steps import MaskStep, Step

__all__ = ["CheckerboardContext"]


@final
class CheckerboardContext(ContextModel):
    """Half of the positions from z alone, the other half from z and the first (He et al. 2021).

    Decoding takes two steps whatever the image's size. The convolution needs no mask: what it
    must not see is not decoded yet and still zero.
    """

    def __init__(self, M: int, parameters: int) -> None:
        super().__init__()
        self.feature_channels = 2 * M
        self.chunk = M
        self.conv = nn.Conv2d(M, 2 * M, 5, padding=2)
        self.network = parameter_network(4 * M, parameters * M, M)

    def steps(self, height: int, width: int, device: torch.device) -> list[Step]:
        rows = torch.arange(height, device=device).unsqueeze(1)
        columns = torch.arange(width, device=device)
        anchor = (rows + columns) % 2 == 0  # (h, w)
        return [MaskStep(0, anchor), MaskStep(1, ~anchor)]

    def forward(self, features: Tensor, y_hat: Tensor, step: Step) -> Tensor:
        # No context yet means zero features, not the convolution's bias.
        context = torch.zeros_like(features) if step.index == 0 else self.conv(y_hat)
        raw: Tensor = self.network(torch.cat([features, context.to(features.dtype)], dim=1))
        return raw

    def output_layers(self) -> list[nn.Module]:
        return [self.network[-1]]
