"""Hooks that keep what a loss knows out of a module's ``state_dict``."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["expect_no_loss", "forget_loss"]


def forget_loss(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """After ``state_dict()``: take the loss's entries out."""
    for key in [key for key in state if key.startswith(f"{prefix}loss.")]:
        del state[key]


def expect_no_loss(module: nn.Module, incompatible: Any) -> None:
    """After ``load_state_dict()``: miss none of them."""
    missing = incompatible.missing_keys
    missing[:] = [key for key in missing if not key.startswith("loss.")]
