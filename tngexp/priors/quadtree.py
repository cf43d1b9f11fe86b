"""Four-pass context over space and channels."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tngexp.layers.depthwise import DepthwiseConv2d, PointwiseConv2d
from tngexp.priors.base import ContextModel
from tngexp.priors.steps import MaskStep, Step
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
        self.per_element = parameters
        self.feature_channels = 2 * M
        self.chunk = M // 4
        self.inputs = nn.ModuleList(
            [nn.Conv2d(2 * M, hidden, 1)] + [nn.Conv2d(3 * M, hidden, 1) for _ in _ORDER[1:]]
        )
        self.body = nn.Sequential(
            nn.LeakyReLU(0.01),
            DepthwiseConv2d(hidden, 5),
            nn.Conv2d(hidden, hidden, 1),
            nn.LeakyReLU(0.01),
            PointwiseConv2d(hidden, parameters * M),
        )

    def steps(self, height: int, width: int, device: torch.device) -> list[Step]:
        if height % 2 == width % 2 == 0:
            return [_QuadStep(index, self.channels) for index in range(len(_ORDER))]
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
        known = self.inputs[step.index](known)
        if not isinstance(step, _QuadStep):
            raw: Tensor = self.body(known)
            return step.take(raw)
        # The last layer only where each channel group is coded: a quarter of its work.
        hidden = self.body[:-1](known)
        last: Any = self.body[-1]  # a PointwiseConv2d, or its exact form
        x = torch.stack(
            [hidden[:, :, r::2, c::2].permute(0, 2, 3, 1) for r, c in _ORDER[step.index]]
        )  # (4, B, h/2, w/2, hidden)
        raw = last.grouped(x.flatten(1, 3), self.per_element)  # (4, n, P·M/4)
        raw = raw.unflatten(2, (self.per_element, -1)).unflatten(1, x.shape[1:4])
        if raw.dtype == torch.float64:  # exact: in the order in which files hold the elements
            return raw.permute(1, 4, 0, 5, 2, 3).flatten(1, 3)  # (B, P·M, h/2, w/2)
        # Channels innermost, as training keeps them: (B, h/2, w/2, P, 4, M/4)
        return raw.permute(1, 2, 3, 4, 0, 5).flatten(3).permute(0, 3, 1, 2)

    def output_layers(self) -> list[nn.Module]:
        return [self.body[-1]]


@final
class _QuadStep(Step):
    """One step over a latent of even height and width: a quarter of the elements, (B, C, h/2, w/2).

    The elements and their order are those of a mask, but what is computed for each element
    (likelihoods above all) is computed for a quarter of the latent, not for all of it.

    Args:
        index: row of ``_ORDER``.
        channels: M; tensors of P·M channels are cut as P tensors of M.
    """

    def __init__(self, index: int, channels: int) -> None:
        self.index = index
        self._channels = channels

    def take(self, full: Tensor) -> Tensor:
        part: Tensor = _Take.apply(full, self)
        return part

    def put(self, full: Tensor, part: Tensor) -> Tensor:
        out: Tensor = _Put.apply(full, part, self)
        return out

    def flatten(self, part: Tensor) -> Tensor:
        return part.flatten(1)

    def unflatten(self, values: Tensor, like: Tensor) -> Tensor:
        return values.view(like.shape)

    def slots(self, full: Tensor) -> list[Tensor]:
        """Views of the step's elements, (B, h/2, w/2, P, M/4) for each channel group."""
        # Channels innermost, as training keeps them in memory.
        blocks = full.permute(0, 2, 3, 1).unflatten(3, (-1, 4, self._channels // 4))
        blocks = blocks.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        return [blocks[:, :, r, :, c, :, g] for g, (r, c) in enumerate(_ORDER[self.index])]

    def cut(self, full: Tensor) -> Tensor:
        """(B, P·M, h, w) → (B, P·M, h/2, w/2)."""
        part = torch.stack(self.slots(full), dim=4)  # (B, h/2, w/2, P, 4, M/4)
        return part.flatten(3).permute(0, 3, 1, 2)

    def paste(self, full: Tensor, part: Tensor | None) -> None:
        """Write ``part``, or zeros, into ``full``."""
        if part is None:
            for slot in self.slots(full):
                slot.zero_()
            return
        groups = part.permute(0, 2, 3, 1).unflatten(3, (-1, 4, self._channels // 4))
        for slot, group in zip(self.slots(full), groups.unbind(4), strict=True):
            slot.copy_(group)


class _Take(torch.autograd.Function):
    """``cut`` whose backward writes each element once; autograd's would add four full tensors."""

    @staticmethod
    def forward(ctx: Any, full: Tensor, step: _QuadStep) -> Tensor:
        ctx.step = step
        ctx.shape = full.shape
        return step.cut(full)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        batch, channels, height, width = ctx.shape
        full = grad.new_zeros(batch, height, width, channels).permute(0, 3, 1, 2)
        ctx.step.paste(full, grad)
        return full, None


class _Put(torch.autograd.Function):
    """A copy of ``full`` with ``paste`` applied."""

    @staticmethod
    def forward(ctx: Any, full: Tensor, part: Tensor, step: _QuadStep) -> Tensor:
        ctx.step = step
        out = full.clone()
        step.paste(out, part)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        kept = part = None
        if ctx.needs_input_grad[0]:
            kept = grad.clone()
            ctx.step.paste(kept, None)
        if ctx.needs_input_grad[1]:
            part = ctx.step.cut(grad)
        return kept, part, None
