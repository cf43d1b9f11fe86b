"""The Lightning module of a codec: one codec, one loss, one optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tngexp.bitstream import ImageCodec
from tngexp.bitstream.codec_files import load
from tngexp.evaluation.measure import measure
from tngexp.losses import LossTerms, RateDistortionLoss
from tngexp.model.codec import Codec
from tngexp.rate import VariableRate
from tngexp.runs.export import add_tables
from tngexp.training.base import LitModel, NonFiniteError
from tngexp.training.limit import check_complexity
from tngexp.training.optimizer import MakeOptimizer, Schedule
from tngexp.training.validation import ImageResult, validate

__all__ = ["CODEC_PARTS", "LitCodec", "NonFiniteError"]


CODEC_PARTS = {
    "transform": "encoder",
    "quantizer": "quantizer",
    "prior": "prior",
    "rate": "rate",
}
"""Parts of a codec, and the groups of the configuration that describe them."""


class LitCodec(LitModel):
    """Trains an autoencoder codec on R + λD, in any ``Trainer``; see :class:`LitModel`.

    Args:
        codec: the model, or the description that :meth:`Codec.from_config` takes.
        loss, optimizer, scheduler, options: as for :class:`LitModel`. ``val_qualities`` counts
            for a variable-rate codec alone.
    """

    codec: Codec

    def __init__(
        self,
        codec: Codec | Mapping[str, Any],
        loss: RateDistortionLoss | Mapping[str, Any],
        optimizer: MakeOptimizer | Mapping[str, Any] | None = None,
        scheduler: Schedule | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        model = codec if isinstance(codec, Codec) else Codec.from_config(codec, trusted=True)
        super().__init__(model, loss, optimizer, scheduler, **options)
        self._coder: ImageCodec | None = None

    @staticmethod
    def describe(config: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a training configuration that describes the codec."""
        codec = {part: config[group] for part, group in CODEC_PARTS.items()}
        return codec if config.get("noise") is None else {**codec, "noise": config["noise"]}

    @staticmethod
    def make(config: Mapping[str, Any], loss: RateDistortionLoss) -> Codec:
        """The codec of a training configuration, for what ``loss`` asks of it.

        Raises:
            ConfigError: for parts that cannot be built, or a codec above ``max_kmac``.
        """
        codec = Codec.from_config(LitCodec.describe(config), trusted=True)
        if isinstance(codec.rate, VariableRate):
            codec.rate.spread(loss.lmbda_max / loss.lmbda_min)
        check_complexity(codec, config["max_kmac"])
        return codec

    @staticmethod
    def prepare(config: Mapping[str, Any], data: object) -> None:
        """Nothing: a codec is trained on the photos as they come."""

    def terms(self, batch: Tensor) -> LossTerms:
        x = self._images(batch)
        quality = self.codec.rate.sample(len(x))
        terms: LossTerms = self.loss(self.codec(x, quality), x, quality)
        return terms

    def measured(self, batch: Tensor, batch_idx: int) -> list[ImageResult]:
        x = self._images(batch)
        return [
            validate(self.codec, self.loss, x[i : i + 1], q)
            for i in range(len(x))
            for q in self._qualities
        ]

    def anneal(self, share: float) -> None:
        self.codec.quantizer.anneal(share)

    def on_test_start(self) -> None:
        super().on_test_start()
        self._coder = ImageCodec(self.codec).eval()

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        """Measure real files: 8-bit images (B, 3, H, W), each coded and decoded from its bytes."""
        assert self._coder is not None
        pixels = batch if batch.dtype == torch.uint8 else (255 * batch).round().to(torch.uint8)
        for image in pixels.permute(0, 2, 3, 1).cpu().numpy():
            for quality in self._qualities:
                self.count_test(measure(self._coder, image, quality)[0], quality)

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        self._coder = None

    def finish_file(self, path: Path) -> None:
        add_tables(path)

    def take_weights(self, path: Path) -> None:
        self.codec.load_state_dict(load(path, trusted=True).model.state_dict())

    @property
    def _qualities(self) -> tuple[float | None, ...]:
        return self._val_qualities if self.codec.rate.variable else (None,)
