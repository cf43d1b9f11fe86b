"""The Lightning module: one codec, one loss, one optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from tngexp.losses import LossTerms, RateDistortionLoss
from tngexp.metrics import ms_ssim, psnr
from tngexp.model.codec import Codec
from tngexp.schema.trainer import ScheduleSettings
from tngexp.training.progress import Progress
from tngexp.training.resume import take_own_options
from tngexp.training.schedule import lr_factor
from tngexp.types import TngexpError

__all__ = ["ImageResult", "LitCodec", "NonFiniteError", "to_float"]


class NonFiniteError(TngexpError):
    """Loss or gradient became NaN or infinite at optimizer step ``step`` (1-based)."""

    def __init__(self, what: str, step: int) -> None:
        self.step = step
        super().__init__(
            f"{what} at step {step}: training stopped before it reached the weights, and the last "
            "checkpoint is kept. Lower optimizer.lr or trainer.clip, or set "
            "trainer.precision=32-true"
        )


class ImageResult(NamedTuple):
    """One validation image at one quality."""

    quality: float | None  # None for a codec of one fixed rate
    loss: float | None  # None where the image is too small for the distortion
    bpp: float
    y_bpp: float
    z_bpp: float
    distortion: float | None
    terms: dict[str, float]  # of the distortion, by name; empty where it is None
    lmbda: float
    psnr_db: float
    ms_ssim: float  # NaN where the image is too small to measure
    x: Tensor  # (3, H, W) in [0, 1], float32
    x_hat: Tensor  # (3, H, W) in [0, 1], float32
    y_bits: Tensor  # (M,), bits of each latent channel


class LitCodec(pl.LightningModule):
    """Trains ``codec`` on R + λD.

    Nothing here logs: the latest terms are kept in ``last_terms`` (training)
    or returned (validation), and callbacks decide what becomes of them.

    Args:
        codec: the model.
        loss: of ``tngexp.losses``. What a network in it knows is kept out of ``state_dict``, whose
            keys are the codec's; trained parameters of a loss have an entry of their own.
        optimizer: parameters → optimizer.
        schedule: learning-rate schedule.
        progress: how far the run is; :class:`~tngexp.training.callbacks.budget.Budget` advances it.
        seed: seeds the training noise, see :meth:`on_train_batch_start`.
        accumulate: batches per optimizer step.
        channels_last: memory format of the input.
        checkpoint_info: plain dict stored under ``tngexp`` in every checkpoint, where the time used
            joins it as ``seconds``.
        val_qualities: qualities a variable-rate codec is validated at.
        fresh: whether the run started from new weights; others skip what a loss does to lead them.
    """

    def __init__(
        self,
        codec: Codec,
        loss: RateDistortionLoss,
        optimizer: Callable[[Any], torch.optim.Optimizer],
        schedule: ScheduleSettings,
        *,
        progress: Progress,
        seed: int = 0,
        accumulate: int = 1,
        channels_last: bool = True,
        checkpoint_info: Mapping[str, Any] | None = None,
        val_qualities: tuple[float, ...] = (0.0, 0.5, 1.0),
        fresh: bool = True,
    ) -> None:
        super().__init__()
        self.codec = codec
        self.loss = loss
        self.last_terms: LossTerms | None = None
        self.grad_norm: Tensor | None = None  # before clipping
        self._fresh = fresh
        self.progress = progress
        self._make_optimizer = optimizer
        self._schedule = schedule
        self._seed = seed
        self._accumulate = accumulate
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._info = dict(checkpoint_info or {})
        self._val_qualities = val_qualities
        self.register_state_dict_post_hook(_forget_loss)
        self.register_load_state_dict_post_hook(_expect_no_loss)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self._make_optimizer([p for p in self.parameters() if p.requires_grad])
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]  # the name that torch's own schedulers give it
        return optimizer

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        # Noise is a function of (seed, step, micro-batch, process) alone, so a resumed run draws
        # the same noise as one that never stopped, without generator states in the checkpoint.
        micro = batch_idx % self._accumulate
        torch.manual_seed(_mix(self._seed, self.global_step, micro, self.global_rank))
        self.loss.at(self.progress.fraction if self._fresh else 1.0)
        if micro == 0:
            self._set_lr()

    def _set_lr(self) -> None:
        """Set the learning rate of this optimizer step, a function of the run's progress alone."""
        step, progress = self.global_step, self.progress
        factor = lr_factor(step, progress.fraction, progress.max_steps, self._schedule)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * group["initial_lr"]

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        x = self._images(batch)
        quality = self.codec.rate.sample(len(x))
        terms: LossTerms = self.loss(self.codec(x, quality), x, quality)
        self.last_terms = terms._replace(loss=terms.loss.detach())
        return terms.loss

    def validation_step(  # type: ignore[override]  # Lightning hands it to callbacks as it is
        self, batch: Tensor, batch_idx: int
    ) -> list[ImageResult]:
        x = self._images(batch)
        qualities: tuple[float | None, ...] = (None,)
        if self.codec.rate.variable:
            qualities = self._val_qualities
        return [self._validate(x[i : i + 1], q) for i in range(len(x)) for q in qualities]

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning's own clipping throws the norm away; computing it once serves the log, too.
        limit = float("inf") if gradient_clip_val is None else gradient_clip_val
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.grad_norm = nn.utils.clip_grad_norm_(parameters, limit).detach()
        if not math.isfinite(self.grad_norm):
            # Raised before the optimizer step: neither weights nor checkpoints take damage.
            raise NonFiniteError(
                f"the gradient's norm is {float(self.grad_norm)}", self.global_step + 1
            )

    def note(self, key: str, value: Any) -> None:
        """Add an entry to what every checkpoint says under ``tngexp``."""
        self._info[key] = value

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["tngexp"] = {**self._info, "seconds": self.progress.seconds}
        if any(p.requires_grad for p in self.loss.parameters()):
            checkpoint["loss_state_dict"] = self.loss.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # ``state_dict`` holds the averaged weights, the ones to ship; training continues from the
        # raw ones. The EMA callback finds its average under the other name.
        if "raw_state_dict" in checkpoint:
            checkpoint["averaged_state_dict"] = checkpoint["state_dict"]
            checkpoint["state_dict"] = checkpoint.pop("raw_state_dict")
        if "loss_state_dict" in checkpoint:
            self.loss.load_state_dict(checkpoint["loss_state_dict"])
        take_own_options(checkpoint, self._optimizer_options(), self._accumulate)

    def _optimizer_options(self) -> list[dict[str, Any]]:
        """What the configuration says of each group of parameters."""
        groups = self.configure_optimizers().param_groups
        return [{key: v for key, v in group.items() if key != "params"} for group in groups]

    def _images(self, batch: Tensor) -> Tensor:
        return to_float(batch).to(memory_format=self._format)

    def _validate(self, x: Tensor, q: float | None) -> ImageResult:
        quality = None if q is None else torch.full((1,), q, device=x.device)
        output = self.codec(x, quality)
        measurable = min(x.shape[-2:]) >= self.loss.min_side
        terms: LossTerms | None = self.loss(output, x, quality) if measurable else None
        pixels = x.shape[-2] * x.shape[-1]
        z_bits = 0.0 if output.z_bits is None else float(output.z_bits.sum())
        x_hat = output.x_hat.float().clamp(0, 1)
        # In bf16 the variances of MS-SSIM would drown in rounding.
        with torch.autocast(x.device.type, enabled=False):
            psnr_db, similarity = float(psnr(x, x_hat)), float(ms_ssim(x, x_hat))
        return ImageResult(
            quality=q,
            loss=None if terms is None else float(terms.loss),
            bpp=float(output.bpp()),
            y_bpp=float(output.y_bits.sum()) / pixels,
            z_bpp=z_bits / pixels,
            distortion=None if terms is None else float(terms.distortion),
            terms={} if terms is None else {k: float(v) for k, v in terms.terms.items()},
            lmbda=float(self.loss.lmbda(quality).mean()),
            psnr_db=psnr_db,
            ms_ssim=similarity,
            x=x[0],
            x_hat=x_hat[0],
            y_bits=output.y_bits[0].float().flatten(1).sum(1),
        )


def _forget_loss(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}loss.")]:
        del state[key]


def _expect_no_loss(module: nn.Module, incompatible: Any) -> None:
    missing = incompatible.missing_keys
    missing[:] = [key for key in missing if not key.startswith("loss.")]


def to_float(batch: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]; float images unchanged."""
    return batch if batch.is_floating_point() else batch.float() / 255


def _mix(*numbers: int) -> int:
    """A 63-bit seed in which every bit depends on every number (SplitMix64's finalizer)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
