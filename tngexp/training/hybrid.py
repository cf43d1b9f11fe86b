"""The Lightning module of a network behind conventional codecs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from tngexp.anchors import Anchor, anchor
from tngexp.common.configuration import cache_folder
from tngexp.datasets.module import ImageDataModule
from tngexp.devices.distributed import mean_over_processes
from tngexp.evaluation.measure import measure_coder
from tngexp.hybrid.codec import HybridCodec
from tngexp.hybrid.model import Hybrid, condition_of, load_hybrid
from tngexp.hybrid.pairs import Pair, PairMaker, coded, setting_at
from tngexp.losses import LossTerms, RateDistortionLoss
from tngexp.metrics import ms_ssim, psnr
from tngexp.training.base import LitModel
from tngexp.training.limit import check_complexity
from tngexp.training.optimizer import MakeOptimizer, Schedule
from tngexp.training.validation import ImageResult, to_float
from tngexp.types import ConfigError

__all__ = ["LitHybrid"]

_FLOOR = 16.0  # times below the mean of its batch the distortion of a decoded crop counts as


class LitHybrid(LitModel):
    """Trains a network to restore what conventional codecs leave; see :class:`LitModel`.

    The rate is that of real files, on which no weight has an influence, so λ has no part in it.
    The loss is the distortion of the restored picture relative to that of the decoded one, which
    counts every rate alike: a BD-rate averages over the logarithm of both.

    Args:
        codec: the model, or the description that :meth:`Hybrid.from_config` takes.
        loss, optimizer, scheduler, options: as for :class:`LitModel`. Quality q of
            ``val_qualities`` is at 0.15 + 0.7·q of each codec's range of settings.
    """

    codec: Hybrid

    def __init__(
        self,
        codec: Hybrid | Mapping[str, Any],
        loss: RateDistortionLoss | Mapping[str, Any],
        optimizer: MakeOptimizer | Mapping[str, Any] | None = None,
        scheduler: Schedule | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        model = codec if isinstance(codec, Hybrid) else Hybrid.from_config(codec, trusted=True)
        super().__init__(model, loss, optimizer, scheduler, **options)
        self._anchors = [anchor(name) for name in model.base]

    @staticmethod
    def describe(config: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a training configuration that describes the model."""
        names = config.get("base")
        base = [names] if isinstance(names, str) else names
        return {"post": config["post"], "base": base, "pre": config.get("pre")}

    @staticmethod
    def make(config: Mapping[str, Any], loss: RateDistortionLoss) -> Hybrid:
        """The model of a training configuration.

        Raises:
            ConfigError: for parts that cannot be built, or a network above ``max_kmac``.
        """
        if config.get("base") is None:
            raise ConfigError("post needs base=…, the codecs behind which it stands: base=jpeg")
        hybrid = Hybrid.from_config(LitHybrid.describe(config), trusted=True)
        check_complexity(hybrid, config["max_kmac"])
        return hybrid

    @staticmethod
    def prepare(config: Mapping[str, Any], data: LightningDataModule) -> None:
        """Let the loader make pairs of its crops.

        Raises:
            ConfigError: when a codec is missing, or the data module is a foreign one.
        """
        if not isinstance(data, ImageDataModule):
            raise ConfigError(
                f"data={type(data).__name__} gives no numbered crops, of which pairs could be "
                "made: use data=folder, data=shards, or a subclass of ImageDataModule"
            )
        hybrid = LitHybrid.describe(config)
        factors = (hybrid["pre"] or {}).get("factors", [1])
        data.make_sample = PairMaker(hybrid["base"], factors, config.get("seed", 0), _cache())

    def terms(self, batch: Sequence[Tensor]) -> LossTerms:
        pair = Pair(*batch)
        x, decoded = self._images(pair.original), self._images(pair.decoded)
        return self._terms(x, decoded, self.codec(decoded, pair.condition), pair.bpp)

    def _terms(self, x: Tensor, decoded: Tensor, restored: Tensor, bpp: Tensor) -> LossTerms:
        """Relative distortions of restored pictures (B, 3, H, W), whose files have ``bpp`` (B,)."""
        with torch.autocast(x.device.type, enabled=False):
            found = self.loss.distortion(x.float(), restored.float())
            with torch.no_grad():
                before = self.loss.distortion(x.float(), decoded.float()).total
            # Crops that were coded nearly without loss would outweigh all others. Processes share
            # the floor, or they would not train as one with the whole batch.
            mean = before.mean()
            if self._trainer is not None and self._trainer.training:
                mean = mean_over_processes(self._trainer, {"mean": mean})["mean"]
            loss = found.total / before.maximum(mean / _FLOOR).clamp(min=1e-12)
        rate = bpp.mean().detach()
        return LossTerms(
            loss.mean(),
            rate,
            rate,
            torch.zeros_like(rate),
            found.total.mean().detach(),
            torch.ones_like(rate),
            {
                **{name: term.mean().detach() for name, term in found.terms.items()},
                "decoded_distortion": before.mean(),
            },
        )

    def measured(self, batch: Tensor, batch_idx: int) -> list[ImageResult]:
        return [
            self._validated(image, codec, quality)
            for image in batch
            for codec in self._anchors
            for quality in self._val_qualities
        ]

    def _validated(self, image: Tensor, codec: Anchor, quality: float) -> ImageResult:
        """One photo (3, H, W) behind one codec at one setting, coded here and now."""
        setting = setting_at(codec, _place(quality))
        rgb = image if image.dtype == torch.uint8 else image.mul(255).round().to(torch.uint8)
        pixels = np.ascontiguousarray(rgb.permute(1, 2, 0).cpu().numpy())
        # Photos are coded anew at each validation, but for codecs that take long.
        made = coded(codec, pixels, setting, 1.0, _cache(), f"{codec.how}\n{codec.version()}")
        device = self.device
        x = to_float(image[None]).to(device)
        decoded = torch.from_numpy(made.decoded.copy()).permute(2, 0, 1)[None].to(device)
        decoded = to_float(decoded).contiguous(memory_format=self._format)
        condition = condition_of(made.origin)[None].to(device)
        bpp = torch.tensor([8.0 * made.nbytes / (x.shape[-2] * x.shape[-1])], device=device)
        restored = self.codec(decoded, condition).float()
        terms: LossTerms | None = None
        if min(x.shape[-2:]) >= self.loss.min_side:
            terms = self._terms(x, decoded, restored, bpp)
        x_hat = restored.clamp(0, 1)
        with torch.autocast(device.type, enabled=False):
            psnr_db, similarity = float(psnr(x, x_hat)), float(ms_ssim(x, x_hat))
            before = float(psnr(x, decoded))
        named = {} if terms is None else {k: float(v) for k, v in terms.terms.items()}
        return ImageResult(
            quality=quality,
            loss=None if terms is None else float(terms.loss),
            bpp=float(bpp),
            y_bpp=float(bpp),
            z_bpp=0.0,
            distortion=None if terms is None else float(terms.distortion),
            terms={**named, "gain_db": psnr_db - before},
            lmbda=1.0,
            psnr_db=psnr_db,
            ms_ssim=similarity,
            x=x[0],
            x_hat=x_hat[0],
            y_bits=bpp.new_empty(0),
        )

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        """Measure real files: 8-bit images (B, 3, H, W), behind each codec."""
        pixels = batch if batch.dtype == torch.uint8 else (255 * batch).round().to(torch.uint8)
        for image in pixels.permute(0, 2, 3, 1).cpu().numpy():
            for codec in self._anchors:
                hybrid = HybridCodec.made(codec, 1.0, self.codec)
                for quality in self._val_qualities:
                    setting = setting_at(codec, _place(quality))
                    figures, _ = measure_coder(
                        image,
                        lambda: hybrid.encode(image, setting),  # noqa: B023  # called at once
                        hybrid.decode,
                    )
                    self.count_test(figures, quality)

    def finish_file(self, path: Path) -> None:
        """Nothing: the network has no integer tables."""

    def take_weights(self, path: Path) -> None:
        self.codec.load_state_dict(load_hybrid(path, trusted=True).state_dict())


def _cache() -> Path:
    """Where files of slow codecs are kept."""
    return cache_folder() / "pairs"


def _place(quality: float) -> float:
    """Where on a codec's range of settings a quality lies that is measured."""
    return 0.15 + 0.7 * quality
