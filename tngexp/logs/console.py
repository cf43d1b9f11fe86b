"""A quiet console: what other packages print is either turned into a message of ours or silenced
by name."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

# Lightning's announcements (devices found, tips, "max_steps reached") come through these loggers.
_CHATTY = ("lightning.pytorch", "lightning.fabric", "lightning")

_WARNINGS = (
    # The loaders decide for themselves, see tngexp.datasets.
    r".*does not have many workers",
    # The sample numbers continue from the step, so the loader has no state of its own.
    r".*your dataloader is not resumable",
    # EMA is ours; logging on the run's first steps is wanted.
    r".*is smaller than the logging interval",
    # The GPU that is there is chosen by trainer.accelerator, not by this warning.
    r".*GPU available but not used",
    # A network inside of a loss is in evaluation mode on purpose.
    r".*module\(s\) in eval mode at the start of training",
    # torch deprecated what Lightning's own pytree helper uses.
    r".*isinstance\(treespec, LeafSpec\)",
    # torch's own, about the order Lightning calls the two in when a step is skipped.
    r".*lr_scheduler\.step\(\)` before `optimizer\.step\(\)`",
    # Of 1×1 kernels behind a spectral norm, whose two memory formats hold the same bytes.
    r"Grad strides do not match bucket view strides",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the third-party messages a run is known to cause; all others still show."""
    levels = {name: logging.getLogger(name).level for name in _CHATTY}
    with warnings.catch_warnings():
        for message in _WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
