"""A network behind conventional codecs, as a model that is trained, stored and run."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from tngexp import __version__ as tngexp_version
from tngexp.anchors import anchor
from tngexp.common.atomic import replacing
from tngexp.common.options import as_list
from tngexp.devices.hardware import multiplies_bf16
from tngexp.hybrid.origin import Origin
from tngexp.hybrid.scaling import Downscale
from tngexp.model.build import build
from tngexp.model.files import SAFETENSORS, locate, read_checkpoint
from tngexp.model.objective import Objective, objective
from tngexp.post.base import GRID, Post, features
from tngexp.types import CheckpointError, ConfigError

__all__ = ["BASES", "Hybrid", "condition_of", "load_hybrid", "save_hybrid"]

BASES = ("jpeg", "jpeg444", "webp", "avif", "bpg", "hevc")
"""The codecs whose files say how coarsely they were quantized, see ``origin``."""

_PREFIX = "codec."
_WINDOW = 960  # pixels a side of what is restored at once, without the margin
_STEP = math.lcm(GRID, GRID * 3 // 2, GRID * 2)  # the codecs' grids at every scale fall into place


@final
class Hybrid(nn.Module):
    """A restoration network, and the codecs and scales that it is for.

    Args:
        post: the network.
        base: names of codecs, of ``BASES``.
        factors: by how much pictures may have been made smaller.

    Attributes:
        stride: sides of a training crop are multiples of it.

    Raises:
        ConfigError: for a codec that the network cannot be told about.
    """

    def __init__(self, post: Post, base: Sequence[str], factors: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        for name in base:
            anchor(name)  # a name that is none is refused with the nearest one
            if name not in BASES:
                raise ConfigError(
                    f"base={name}: nothing in its files tells a network how coarsely they were "
                    f"quantized; choose of {', '.join(BASES)}"
                )
        if not base:
            raise ConfigError("base=[] names no codec to train for, e.g. base=jpeg")
        self.post = post
        self.base = tuple(dict.fromkeys(base))
        self.factors = tuple(factors)
        self.stride = math.lcm(post.multiple, 2)
        self.config: dict[str, Any] | None = None
        self.objective: Objective | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, trusted: bool = False) -> Self:
        """From the descriptions that ``post=…``, ``base=…`` and ``pre=…`` stand for.

        Raises:
            ConfigError: when one is missing, unknown, or refuses its arguments.
        """
        post = build(config.get("post"), trusted=trusted, option="post")
        if not isinstance(post, Post):
            raise ConfigError(f"post={config.get('post')!r} describes no restoration network")
        base = as_list("base", config.get("base"))
        pre = config.get("pre") or {"factors": [1]}
        factors = Downscale(pre["factors"]).factors
        hybrid = cls(post, base, factors)
        hybrid.config = {"post": dict(config["post"]), "base": base, "pre": dict(pre)}
        return hybrid

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Restored pictures, not clamped, of decoded ones (B, 3, H, W) in [0, 1] of any size.

        Args:
            x: decoded, and enlarged to their final size.
            condition: (B, FEATURES), see :func:`condition_of`.
        """
        height, width = x.shape[-2:]
        multiple = self.post.multiple
        bottom, right = -height % multiple, -width % multiple
        if bottom or right:
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        out: Tensor = self.post(x, condition)
        return out[..., :height, :width]

    @torch.inference_mode()
    def restore(
        self,
        rgb: NDArray[np.uint8],
        condition: Tensor,
        progress: Callable[[float], object] = lambda share: None,
    ) -> NDArray[np.uint8]:
        """A restored picture of the same size; memory does not grow with it.

        What is added to the decoded picture is computed in bfloat16 where that is fast, so levels
        may differ by one between machines.

        Args:
            rgb: (H, W, 3), decoded, and enlarged to its final size.
            condition: (FEATURES,).
            progress: called with the share that is done.
        """
        height, width = rgb.shape[:2]
        margin = -(-self.post.reach // _STEP) * _STEP
        device = next(self.parameters()).device
        fast = device.type == "cuda" or multiplies_bf16()
        out = np.empty_like(rgb)
        for top in range(0, height, _WINDOW):
            for left in range(0, width, _WINDOW):
                first = max(0, top - margin), max(0, left - margin)
                last = top + _WINDOW + margin, left + _WINDOW + margin
                piece = rgb[first[0] : last[0], first[1] : last[1]]
                x = torch.from_numpy(np.array(piece)).to(device).permute(2, 0, 1)[None]
                x = x.float().div(255).contiguous(memory_format=torch.channels_last)
                with torch.autocast(device.type, torch.bfloat16, enabled=fast):
                    restored = self(x, condition[None].to(device))[0].float()
                pixels = restored.mul(255).round_().clamp_(0, 255).to(torch.uint8)
                rows, columns = top - first[0], left - first[1]
                inner = pixels[:, rows : rows + _WINDOW, columns : columns + _WINDOW]
                out[top : top + _WINDOW, left : left + _WINDOW] = inner.permute(1, 2, 0).cpu()
            progress(min(1.0, (top + _WINDOW) / height))
        return out


def condition_of(origin: Origin | None, scale: float = 1.0) -> Tensor:
    """The condition (FEATURES,) of a picture; None for one of unknown origin."""
    if origin is None:
        return features(scale=scale)
    return features(*origin, scale)


def load_hybrid(name_or_path: str | Path, *, trusted: bool = False) -> Hybrid:
    """The model of a checkpoint of ``model=hybrid``, for evaluation, on the CPU.

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """
    path = locate(name_or_path)
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0, trusted)


def save_hybrid(hybrid: Hybrid, path: str | Path, *, half: bool = False) -> None:
    """Write a network as :func:`load_hybrid` reads it, whole or not at all.

    Args:
        hybrid: built from a configuration.
        path: replaced if it exists; a name in ``.safetensors`` gives a file that any program can
            read without running code.
        half: round the weights to half precision, which halves the file.

    Raises:
        ConfigError: for a network without a configuration.
    """
    if hybrid.config is None:
        raise ConfigError("only a network built with Hybrid.from_config can be saved")
    weights = {
        f"{_PREFIX}{name}": (t.half() if half else t).detach().contiguous()
        for name, t in hybrid.state_dict().items()
    }
    about = {
        "format": 1,
        "version": tngexp_version,
        "codec": hybrid.config,
        "objective": {} if hybrid.objective is None else hybrid.objective.as_dict(),
    }
    path = Path(path)
    with replacing(path) as temporary:
        if path.suffix == SAFETENSORS:
            save_file(weights, temporary, {"tngexp": json.dumps(about, sort_keys=True)})
        else:
            torch.save({"state_dict": weights, "tngexp": about}, temporary)


@functools.lru_cache(maxsize=4)
def _load(path: Path, _: int, trusted: bool) -> Hybrid:
    checkpoint = read_checkpoint(path)
    config = checkpoint["tngexp"]["codec"]
    if "post" not in config:
        raise CheckpointError(
            f"{path}: a codec of its own, not a network behind another one: use it with "
            "tng compress --model"
        )
    try:
        hybrid = Hybrid.from_config(config, trusted=trusted)
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: cannot build the network it describes: {error}") from error
    weights = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    try:
        hybrid.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: its weights do not fit the network it describes; was it written by another "
            f"version of tngexp ({checkpoint['tngexp'].get('version', 'unknown')})?"
        ) from error
    hybrid.objective = objective(checkpoint["tngexp"])
    return hybrid.to(memory_format=torch.channels_last).eval()
