"""What the files are that a training names: a path stays the same when its photos do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tngexp.model.build import build
from tngexp.model.files import content_of
from tngexp.training.loss import features_content

__all__ = ["CONTENTS", "contents_of"]

CONTENTS = "contents"
"""Where a run's configuration has them, in its checkpoints and its ``run.json``."""


def contents_of(config: Mapping[str, Any]) -> dict[str, str | None]:
    """SHA-256 of the photos that ``config`` trains and validates on, and of the codecs it reads.

    Every photo is read once in a process, of shards the index alone.

    Args:
        config: plain, resolved ``conf/train.yaml``.

    Returns:
        ``train_photos``, ``val_photos``, ``weights``, those of ``init_from``, and ``features``,
        the codec of ``loss.features``; None where there is nothing to tell, as for a data module
        that has no ``content``.

    Raises:
        ConfigError: when the photos cannot be used.
    """
    module = build(config["data"], trusted=True, option="data")
    content = getattr(module, "content", None)  # the training refuses what is no data module
    train, val = (None, None) if content is None else content()
    start = config.get("init_from")
    return {
        "train_photos": train,
        "val_photos": val,
        "weights": None if start is None else content_of(start),
        "features": features_content(config["loss"]),
    }
