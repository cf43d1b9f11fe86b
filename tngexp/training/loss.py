"""The loss that a configuration describes, and the codecs that it looks through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tngexp.bitstream.codec_files import load
from tngexp.losses import CodecFeatures, PerceptualLoss, RateDistortionLoss
from tngexp.schema.instantiate import instantiate, target_of
from tngexp.types import CheckpointError, ConfigError

__all__ = ["make_loss"]

_CODEC = "codec:"


def make_loss(config: Mapping[str, Any]) -> RateDistortionLoss:
    """The loss that ``config`` describes by ``_target_`` and options.

    ``features=codec:NAME_OR_PATH`` of a :class:`PerceptualLoss` is opened here, since a loss knows
    no files.

    Raises:
        ConfigError: for a description that cannot be built, or a codec that cannot be opened.
    """
    filled: dict[str, Any] = {}
    features = config.get("features") if isinstance(config, Mapping) else None
    of_codec = isinstance(features, str) and features.startswith(_CODEC)
    if of_codec and target_of(config, "loss") is PerceptualLoss:
        filled["features"] = _opened(str(features))
        config = {key: value for key, value in config.items() if key != "features"}
    made: RateDistortionLoss = instantiate(config, "loss", RateDistortionLoss, **filled)
    return made


def _opened(features: str) -> CodecFeatures:
    try:
        codec = load(features.removeprefix(_CODEC))
    except CheckpointError as error:
        raise ConfigError(f"loss.features={features}: {error}") from error
    return CodecFeatures(codec.model.transform)
