"""The loss that a configuration describes, and the codecs that it looks through."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tngexp import zoo
from tngexp.bitstream.codec_files import load
from tngexp.losses import CodecFeatures, PerceptualLoss, RateDistortionLoss
from tngexp.model.files import content_of
from tngexp.schema.instantiate import instantiate, target_of
from tngexp.training.resume import ResumeWarning
from tngexp.types import CheckpointError, ConfigError

__all__ = ["check_features", "features_content", "make_loss"]

_CODEC = "codec:"


def make_loss(config: Mapping[str, Any]) -> RateDistortionLoss:
    """The loss that ``config`` describes by ``_target_`` and options.

    ``features=codec:NAME_OR_PATH`` of a :class:`PerceptualLoss` is opened here, since a loss knows
    no files.

    Raises:
        ConfigError: for a description that cannot be built, or a codec that cannot be opened.
    """
    filled: dict[str, Any] = {}
    codec = _codec_of(config)
    if codec is not None and target_of(config, "loss") is PerceptualLoss:
        filled["features"] = _opened(codec)
        config = {key: value for key, value in config.items() if key != "features"}
    made: RateDistortionLoss = instantiate(config, "loss", RateDistortionLoss, **filled)
    return made


def features_content(config: Mapping[str, Any]) -> str | None:
    """A SHA-256 of the codec that a loss looks through, of which its name or path says little.

    None for a loss that looks through none, and for a file that is missing.

    Args:
        config: the description of the loss.
    """
    codec = _codec_of(config)
    return None if codec is None else content_of(codec)


def check_features(path: Path, run: Mapping[str, Any], loss: Mapping[str, Any]) -> None:
    """Raise CheckpointError where a loss of the same words looks through another codec than before.

    Args:
        path: the checkpoint that is resumed.
        run: what it says under ``tngexp``. Those of earlier versions do not tell, which is a
            ResumeWarning where the name has stood for several codecs.
        loss: the description of the loss.
    """
    codec, now = _codec_of(loss), features_content(loss)
    if codec is None or _codec_of((run.get("config") or {}).get("loss")) != codec:
        return  # another loss, whose values do not compare anyway
    before = run.get("features")
    names = zoo.generations(codec)
    if before is None and len(names) > 1:
        warnings.warn(
            f"resume={path}: it does not say which generation of {codec} it was trained through; "
            f"this run looks through the newest. If it began with an earlier one, set "
            f"loss.features={_CODEC}{names[1]}",
            ResumeWarning,
            stacklevel=2,
        )
    if before in (None, now):
        return
    earlier = {zoo.EARLIER[name].sha256: name for name in names if name in zoo.EARLIER}
    fitting = earlier.get(before)
    fix = (
        f"that run looked through {fitting}: set loss.features={_CODEC}{fitting}"
        if fitting
        else f"the codec of loss.features={_CODEC}{codec} has changed since: put the earlier back"
    )
    raise CheckpointError(
        f"resume={path}: {fix}, or start a new run from its weights with init_from={path}"
    )


def _codec_of(config: Any) -> str | None:
    """``NAME_OR_PATH`` of ``features=codec:NAME_OR_PATH``."""
    features = config.get("features") if isinstance(config, Mapping) else None
    of_codec = isinstance(features, str) and features.startswith(_CODEC)
    return str(features).removeprefix(_CODEC) if of_codec else None


def _opened(name_or_path: str) -> CodecFeatures:
    try:
        codec = load(name_or_path)
    except CheckpointError as error:
        raise ConfigError(f"loss.features={_CODEC}{name_or_path}: {error}") from error
    return CodecFeatures(codec.model.transform)
