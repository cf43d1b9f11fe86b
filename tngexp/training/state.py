"""What a checkpoint says of a module: weights of the codec alone, and what it was built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from tngexp.model.legacy import modernise_run

__all__ = ["APART", "described", "expect_codec", "keep_codec"]

APART = ("loss.", "critic.")
"""What is no part of the weights that a checkpoint ships."""

_OF_CRITICS = ("critic", "critic_optimizer", "gradient_clip_val", "gradient_clip_algorithm")


def keep_codec(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """After ``state_dict()``: take the other entries out."""
    for key in [key for key in state if key.removeprefix(prefix).startswith(APART)]:
        del state[key]


def expect_codec(module: nn.Module, incompatible: Any) -> None:
    """After ``load_state_dict()``: miss none of them."""
    missing = incompatible.missing_keys
    missing[:] = [key for key in missing if not key.startswith(APART)]


def described(checkpoint: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The arguments of a module as a checkpoint knows them.

    Args:
        checkpoint: of :func:`tngexp.model.files.read_checkpoint`.
        names: of the arguments that a run's configuration describes; others of these are left out.
    """
    about = checkpoint["tngexp"]
    run = modernise_run(about.get("config") or {})
    known = {**checkpoint.get("hyper_parameters", {}), "codec": about["codec"]}
    if "critic" not in names:  # the codec goes on without
        known = {name: value for name, value in known.items() if name not in _OF_CRITICS}
    for name in names:
        if name not in known and isinstance(run.get(name), Mapping):
            known[name] = run[name]
    return known
