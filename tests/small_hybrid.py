"""Small networks behind codecs."""

from __future__ import annotations

from typing import Any

import torch

from tngexp.hybrid.model import Hybrid
from tngexp.model.objective import Objective

SMALL = {
    "_target_": "tngexp.post.depthwise.DepthwisePost",
    "channels": [4, 8],
    "blocks": [1, 1],
    "expansion": 1,
}


def small(*base: str, factors: tuple[float, ...] = (1,), strength: float = 1.0) -> Hybrid:
    """A network of random weights; ``strength`` scales how much it changes a picture."""
    torch.manual_seed(0)
    pre = {"_target_": "tngexp.hybrid.scaling.Downscale", "factors": list(factors)}
    config: dict[str, Any] = {"post": SMALL, "base": list(base or ("jpeg",)), "pre": pre}
    hybrid = Hybrid.from_config(config)
    with torch.no_grad():
        head = hybrid.post.head
        assert isinstance(head, torch.nn.Conv2d)
        assert head.bias is not None
        head.weight.mul_(strength)
        head.bias.mul_(strength)
    hybrid.objective = Objective("mse", 0.01)
    return hybrid.eval()
