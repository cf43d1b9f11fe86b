"""Photos as one uint8 tensor: its file, cutting crops out of it on any device, the data module.

The data module is imported when it is asked for: packing must not pull in Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["TensorDataModule"]

if TYPE_CHECKING:
    from tngexp.datasets.tensor.module import TensorDataModule


def __getattr__(name: str) -> Any:
    if name == "TensorDataModule":
        from tngexp.datasets.tensor.module import TensorDataModule

        return TensorDataModule
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
