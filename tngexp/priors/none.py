"""No context: the hyper-latent alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn

from tngexp.priors.base import ContextModel
from tngexp.priors.steps import MaskStep, Step

__all__ = ["NoContext"]


@final
class NoContext(ContextModel):
    """The hyper synthesis transform's output is the parameters (Minnen et al. 2018, § 3)."""

    def __init__(self, M: int, parameters: int) -> None:
        super().__init__()
        self.feature_channels = parameters * M
        self.chunk = M

    def steps(self, height: int, width: int, device: torch.device) -> Iterable[Step]:
        return [MaskStep(0, None)]

    def forward(self, features: Tensor, y_hat: Tensor, step: Step) -> Tensor:
        return features

    def output_layers(self) -> list[nn.Module]:
        return []
