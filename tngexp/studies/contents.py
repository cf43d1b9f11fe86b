"""What the files are that a training names: a path stays the same when its photos do not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tngexp.model.build import build
from tngexp.model.files import locate

__all__ = ["CONTENTS", "contents_of", "weights_content"]

CONTENTS = "contents"
"""Where a run's configuration has them, in its checkpoints and its ``run.json``."""


def contents_of(config: Mapping[str, Any]) -> dict[str, str | None]:
    """SHA-256 of the photos that ``config`` trains and validates on, and of its first weights.

    Every photo is read once in a process, of shards the index alone.

    Args:
        config: plain, resolved ``conf/train.yaml``.

    Returns:
        ``train_photos``, ``val_photos`` and ``weights``, those of ``init_from``; None where there
        is nothing to tell, as for a data module that has no ``content``.

    Raises:
        ConfigError: when the photos cannot be used.
    """
    module = build(config["data"], trusted=True, option="data")
    content = getattr(module, "content", None)  # the training refuses what is no data module
    train, val = (None, None) if content is None else content()
    return {
        "train_photos": train,
        "val_photos": val,
        "weights": weights_content(config.get("init_from")),
    }


def weights_content(checkpoint: str | None) -> str | None:
    """A SHA-256 of the file that a training starts from; None for none, or one that is missing."""
    path: Path | None = None if checkpoint is None else locate(checkpoint)
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
