"""What trains any model: the Lightning module without what is particular to one."""

from __future__ import annotations

import abc
import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

import tngexp
from tngexp.devices.distributed import agreed, mean_over_processes
from tngexp.losses import LossTerms, RateDistortionLoss
from tngexp.metrics.records import Measurement
from tngexp.model.files import read_checkpoint
from tngexp.model.objective import objective_of
from tngexp.training.callbacks.budget import seconds_used, time_share
from tngexp.training.gradients import NonFiniteError, clip
from tngexp.training.loss import make_loss
from tngexp.training.noise import mix
from tngexp.training.optimizer import (
    MakeOptimizer,
    Schedule,
    make_optimizer,
    make_scheduler,
)
from tngexp.training.resume import take_own_options
from tngexp.training.schedule import WarmupDecay
from tngexp.training.state import described, expect_codec, keep_codec
from tngexp.training.validation import ImageResult, image_scalars, to_float
from tngexp.types import CheckpointError, ConfigError

__all__ = ["LitModel", "NonFiniteError"]


class LitModel(pl.LightningModule, abc.ABC):
    """Trains ``codec`` on R + λD, in any ``Trainer``.

    What a run's correctness needs is here: the share of the run that is over (of its steps or of
    its time, whichever is larger), the learning rate, annealing and the loss's hand-overs that
    follow it, noise that is a function of the step, and stopping before a NaN spreads. It logs
    ``train/*`` and ``val/*`` by itself; callbacks add to that.

    ``trainer.validate`` measures estimated rates, ``trainer.test`` real files.

    Subclasses say what a batch costs and what is measured.

    Args:
        codec: what is trained.
        loss: of ``tngexp.losses``, or a description with ``_target_``. What a network in it knows
            is kept out of ``state_dict``, whose keys are the codec's; trained parameters of a loss
            have an entry of their own.
        optimizer: parameters → optimizer, or a description; AdamW unless given.
        scheduler: a :class:`WarmupDecay`, or optimizer → scheduler of torch's, or a description;
            None for a constant rate.
        seed: seeds the training noise, see :meth:`on_train_batch_start`.
        anneal_until: share of the run at which annealed quantizers are as hard as they get; the
            rest of it trains with that.
        channels_last: memory format of the input.
        val_qualities: qualities at which validation and test measure.
        fresh: whether the run started from new weights; others skip what a loss does to lead them.
        checkpoint_info: further entries of what every checkpoint says under ``tngexp``.

    Attributes:
        progress: the share of the run that was over when the current optimizer step began.

    Raises:
        ConfigError: for a description that cannot be built, or an ``anneal_until`` out of range.
    """

    DESCRIBED: tuple[str, ...] = ("loss", "optimizer", "scheduler")
    """Arguments that a run's configuration describes under the same names."""

    def __init__(
        self,
        codec: nn.Module,
        loss: RateDistortionLoss | Mapping[str, Any],
        optimizer: MakeOptimizer | Mapping[str, Any] | None = None,
        scheduler: Schedule | Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        anneal_until: float = 0.9,
        channels_last: bool = True,
        val_qualities: Sequence[float] = (0.0, 0.5, 1.0),
        fresh: bool = True,
        checkpoint_info: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not 0 < anneal_until <= 1:
            raise ConfigError(f"anneal_until={anneal_until!r} must lie in (0, 1].")
        options = {
            "seed": seed,
            "anneal_until": anneal_until,
            "channels_last": channels_last,
            "val_qualities": list(val_qualities),
        }
        described = {"loss": loss, "optimizer": optimizer, "scheduler": scheduler}
        self.codec: Any = codec  # the subclass knows more of it
        self.loss: RateDistortionLoss = make_loss(loss) if isinstance(loss, Mapping) else loss
        self._make_optimizer = _optimizer(optimizer)
        self._schedule = make_scheduler(scheduler) if isinstance(scheduler, Mapping) else scheduler
        self.save_hyperparameters(
            {
                "codec": self.codec.config,
                **{k: dict(v) for k, v in described.items() if isinstance(v, Mapping)},
                **options,
            },
            logger=checkpoint_info is None,  # the engine logs the whole configuration
        )
        self.progress = 0.0
        self.last_terms: LossTerms | None = None
        self.grad_norm: Tensor | None = None  # before clipping
        self._fresh = fresh
        self._seed = seed
        self._anneal_until = anneal_until
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._info = {
            "format": 1,
            "version": tngexp.__version__,
            "codec": self.codec.config,
            "objective": objective_of(self.loss).as_dict(),
            **(checkpoint_info or {}),
        }
        self._val_qualities = tuple(val_qualities)
        self._max_steps = math.inf
        self._lr = 0.0  # of the current optimizer step
        self._means: defaultdict[str, list[float]] = defaultdict(list)
        self.register_state_dict_post_hook(keep_codec)
        self.register_load_state_dict_post_hook(expect_codec)

    @staticmethod
    @abc.abstractmethod
    def describe(config: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a training configuration that describes what is trained."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **options: Any) -> Self:
        """The module that a training configuration describes.

        Args:
            config: plain, resolved ``conf/train.yaml``, see :func:`tngexp.schema.compose`.
            options: further arguments of the constructor.
        """
        return cls(
            cls.describe(config),  # type: ignore[arg-type]  # subclasses build what it describes
            config["loss"],
            config["optimizer"],
            config.get("scheduler"),
            seed=config.get("seed", 0),
            anneal_until=config.get("anneal_until", 0.9),
            channels_last=config.get("channels_last", True),
            **options,
        )

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning reads URLs, and runs pickles
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        *,
        strict: bool = True,
        **options: Any,
    ) -> Self:
        """The module of a training checkpoint, with the averaged weights where there are any.

        Args:
            checkpoint_path: as :func:`tngexp.io.read_checkpoint` takes it; nothing in it is run.
            map_location: the device that the module is moved to.
            strict: whether every weight has to be there.
            options: arguments of the constructor that are to differ from the checkpoint's.

        Raises:
            CheckpointError: for a file that is none, or one that does not say its loss while
                ``options`` do not, either.
        """
        checkpoint = read_checkpoint(checkpoint_path)
        known = described(checkpoint, cls.DESCRIBED)
        arguments = {**known, **options}
        if "loss" not in arguments:
            raise CheckpointError(
                f"{checkpoint_path}: it does not say what it was trained for; pass the loss, "
                "load_from_checkpoint(path, loss=…)"
            )
        module = cls(**arguments)
        module.load_state_dict(checkpoint["state_dict"], strict=strict)
        module.take_apart(checkpoint)
        return module if map_location is None else module.to(map_location)

    def configure_optimizers(self) -> Any:
        trained = (p for module in (self.codec, self.loss) for p in module.parameters())
        return self._scheduled(self._make_optimizer([p for p in trained if p.requires_grad]))

    def _scheduled(self, optimizer: torch.optim.Optimizer) -> Any:
        """``optimizer`` with the scheduler of the run, as Lightning takes it."""
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]  # the name that torch's own schedulers give it
        if self._schedule is None or isinstance(self._schedule, WarmupDecay):
            return optimizer
        steps: dict[str, Any] = {"interval": "step"}
        if self.automatic_optimization:
            steps |= {"monitor": "val/loss", "strict": False}
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._schedule(optimizer), **steps},
        }

    def on_train_start(self) -> None:
        trainer = self.trainer
        self._max_steps = trainer.max_steps if trainer.max_steps > 0 else math.inf
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            # Asked here: it counts what the loader has, which may be without end.
            self._max_steps = min(self._max_steps, trainer.estimated_stepping_batches)

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        # Noise is a function of (seed, step, micro-batch, process) alone, so a resumed run draws
        # the same noise as one that never stopped, without generator states in the checkpoint.
        micro = batch_idx % self.trainer.accumulate_grad_batches
        torch.manual_seed(mix(self._seed, self.global_step, micro, self.global_rank))
        if micro == 0:
            share = max(self.global_step / self._max_steps, time_share(self.trainer))
            self.progress = min(share, 1.0)
            self._set_lr()
            self._lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.anneal(min(self.progress / self._anneal_until, 1.0))
        self.loss.at(self.progress if self._fresh else 1.0)

    def _set_lr(self) -> None:
        """Set the learning rate of this optimizer step, a function of the run's progress alone."""
        if not isinstance(self._schedule, WarmupDecay):
            return
        factor = self._schedule.factor(self.global_step, self.progress, self._max_steps)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * group["initial_lr"]

    @abc.abstractmethod
    def terms(self, batch: Any) -> LossTerms:
        """The loss of a training batch."""

    @abc.abstractmethod
    def measured(self, batch: Tensor, batch_idx: int) -> list[ImageResult]:
        """What is made of validation images (B, 3, H, W), at each of their qualities."""

    def anneal(self, share: float) -> None:
        """Be told, before each training step, how much of the annealing is over: 0 … 1."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        terms = self.terms(batch)
        self.last_terms = terms._replace(loss=terms.loss.detach())
        return terms.loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # The gradient, which also covers the earlier micro-batches of an accumulated step, is
        # checked where its norm is taken anyway.
        assert self.last_terms is not None
        terms = self.last_terms
        if not agreed(self.trainer, int(not math.isfinite(terms.loss))):
            return
        bad = [
            name
            for name, value in terms.scalars().items()
            if name != "loss" and not math.isfinite(value)
        ]
        because = f" (not finite: {', '.join(bad)})" if bad else ""
        loss = float(terms.loss)
        what = f"the loss is {loss}" if not math.isfinite(loss) else "another process's loss is NaN"
        raise NonFiniteError(f"{what}{because}", self.global_step + 1)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.grad_norm = clip(parameters, gradient_clip_val, gradient_clip_algorithm)
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if not scaled and not math.isfinite(self.grad_norm):
            # Raised before the optimizer step: neither weights nor checkpoints take damage. With
            # 16-mixed it is ordinary, and the step is skipped.
            raise NonFiniteError(
                f"the gradient's norm is {float(self.grad_norm)}", self.global_step + 1
            )

    def scalars(self) -> dict[str, Tensor]:
        """Means over the latest batch, by the name they are logged under."""
        assert self.last_terms is not None
        return self.last_terms.scalars()

    def on_train_batch_end(self, outputs: Any, batch: Tensor, batch_idx: int) -> None:
        scalars = self.scalars()
        values: dict[str, Any] = {f"train/{name}": value for name, value in scalars.items()}
        # Of the whole batch, wherever its parts are; PSNR afterwards, it is no mean of means.
        values = mean_over_processes(self.trainer, values)
        if "train/mse" in values:
            values["train/psnr"] = -10 * values["train/mse"].clamp(min=1e-10).log10()
        values["train/lr"] = torch.full((), self._lr, device=self.device)  # a copy would wait
        if self.grad_norm is not None:
            values["train/grad_norm"] = self.grad_norm
        shown = {"train/loss", "train/bpp", "train/psnr"}
        for bar in (True, False):
            some = {key: value for key, value in values.items() if (key in shown) is bar}
            self.log_dict(some, prog_bar=bar, on_step=True, on_epoch=False, batch_size=1)

    def on_validation_epoch_start(self) -> None:
        self._means.clear()

    def validation_step(  # type: ignore[override]  # Lightning hands it to callbacks as it is
        self, batch: Tensor, batch_idx: int
    ) -> list[ImageResult]:
        # Photos have many sizes, for each of which a compiled codec would be compiled anew.
        with torch.compiler.set_stance("force_eager"):
            results = self.measured(batch, batch_idx)
        for result in results:
            for name, value in image_scalars(result).items():
                self._means[f"val/{name}"].append(value)
                if result.quality is not None:
                    self._means[f"val/q{result.quality:g}/{name}"].append(value)
        return results

    def on_validation_epoch_end(self) -> None:
        # Every process validates on every image, so there is nothing to gather.
        means = {key: sum(values) / len(values) for key, values in self._means.items()}
        loss = means.get("val/loss", 0.0)
        if self.trainer.state.fn == "fit" and not math.isfinite(loss):
            raise NonFiniteError(f"the validation loss is {loss}", self.global_step)
        # All keep the same value, and with it the same idea of which checkpoint is best.
        self.log_dict(means, batch_size=1, sync_dist=self.trainer.world_size > 1)

    def on_test_start(self) -> None:
        self._means.clear()

    def count_test(self, figures: Measurement, quality: float | None) -> None:
        """Take the figures of one real file into the means that a test logs."""
        for name in ("bpp", "psnr_db", "ms_ssim", "encode_s", "decode_s"):
            value = getattr(figures, name)
            if value is not None:
                name = name.removesuffix("_db")
                self._means[f"test/{name}"].append(value)
                if quality is not None:
                    self._means[f"test/q{quality:g}/{name}"].append(value)

    def on_test_epoch_end(self) -> None:
        means = {key: sum(values) / len(values) for key, values in self._means.items()}
        self.log_dict(means, batch_size=1, sync_dist=self.trainer.world_size > 1)

    @abc.abstractmethod
    def finish_file(self, path: Path) -> None:
        """The last touch on a checkpoint of a finished run."""

    @abc.abstractmethod
    def take_weights(self, path: Path) -> None:
        """Replace the weights by the averaged ones of a checkpoint of this run.

        Raises:
            CheckpointError: when the file cannot be read.
        """

    def note(self, key: str, value: Any) -> None:
        """Add an entry to what every checkpoint says under ``tngexp``."""
        self._info[key] = value

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        seconds = None if self._trainer is None else seconds_used(self._trainer)
        checkpoint["tngexp"] = {**self._info, **({} if seconds is None else {"seconds": seconds})}
        if any(p.requires_grad for p in self.loss.parameters()):
            checkpoint["loss_state_dict"] = self.loss.state_dict()

    def take_apart(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore what a checkpoint holds apart from ``state_dict``, whose keys are the codec's."""
        if "loss_state_dict" in checkpoint:
            self.loss.load_state_dict(checkpoint["loss_state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # ``state_dict`` holds the averaged weights, the ones to ship; training continues from the
        # raw ones. The EMA callback finds its average under the other name.
        trainer = self._trainer
        fitting = trainer is None or trainer.state.fn == "fit"
        if "raw_state_dict" in checkpoint and fitting:
            checkpoint["averaged_state_dict"] = checkpoint["state_dict"]
            checkpoint["state_dict"] = checkpoint.pop("raw_state_dict")
        self.take_apart(checkpoint)
        accumulate = 1 if trainer is None else trainer.accumulate_grad_batches
        take_own_options(checkpoint, self.configure_optimizers(), accumulate)

    def _images(self, batch: Tensor) -> Tensor:
        return to_float(batch).to(memory_format=self._format)


def _optimizer(given: MakeOptimizer | Mapping[str, Any] | None) -> MakeOptimizer:
    if isinstance(given, Mapping):
        return make_optimizer(given)
    return given or functools.partial(torch.optim.AdamW, lr=5e-4, betas=(0.9, 0.98), fused=True)
