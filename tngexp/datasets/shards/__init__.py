"""Photos in tar shards: their index, their order, reading them, and the data module.

The data module is imported when it is asked for: packing shards must not pull in Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["ShardsDataModule"]

if TYPE_CHECKING:
    from tngexp.datasets.shards.module import ShardsDataModule


def __getattr__(name: str) -> Any:
    if name == "ShardsDataModule":
        from tngexp.datasets.shards.module import ShardsDataModule

        return ShardsDataModule
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
