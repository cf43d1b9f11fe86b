"""The Lightning module of a codec that is trained against a critic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tngexp.critics import Critic
from tngexp.devices.distributed import agreed
from tngexp.losses import LossTerms, RateDistortionLoss
from tngexp.model.codec import Codec
from tngexp.training.critic_arguments import adversarial_of, check_trainer, make_critic
from tngexp.training.gradients import NonFiniteError, clip
from tngexp.training.judging import Verdict, judge
from tngexp.training.module import LitCodec
from tngexp.training.optimizer import MakeOptimizer, Schedule, make_optimizer
from tngexp.types import ConfigError

__all__ = ["LitAdversarial"]


class LitAdversarial(LitCodec):
    """Trains a codec on R + λD with the judgement of a critic in D; see :class:`LitCodec`.

    One batch is one step of both. The codec's share of the judgement rises with the ramp of
    ``loss.adversarial``, the critic trains from the first step on. Whatever counts steps counts the
    codec's. Beside what a codec's training logs there are ``train/adversarial``,
    ``train/matching``, ``train/critic_loss``, ``train/critic_real`` and ``train/critic_fake`` (mean
    logits), ``train/critic_grad_norm`` and with a penalty ``train/critic_r1``.

    Args:
        codec, loss, optimizer, scheduler, options: as for :class:`LitCodec`. The loss has to have
            an ``adversarial``.
        critic: judges, or its description without ``latent_channels`` and ``stride``.
        critic_optimizer: parameters → optimizer, or a description; its learning rate follows the
            same scheduler.
        gradient_clip_val, gradient_clip_algorithm: of both gradients, one by one. They are not the
            trainer's, which clips nothing where a module steps by itself.

    Raises:
        ConfigError: also for a loss without an adversarial term.
    """

    DESCRIBED = (*LitCodec.DESCRIBED, "critic", "critic_optimizer")

    critic: Critic

    def __init__(
        self,
        codec: Codec | Mapping[str, Any],
        loss: RateDistortionLoss | Mapping[str, Any],
        optimizer: MakeOptimizer | Mapping[str, Any] | None = None,
        scheduler: Schedule | Mapping[str, Any] | None = None,
        *,
        critic: Critic | Mapping[str, Any],
        critic_optimizer: MakeOptimizer | Mapping[str, Any],
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(codec, loss, optimizer, scheduler, **options)
        self.automatic_optimization = False
        described = {"critic": critic, "critic_optimizer": critic_optimizer}
        clipping = {
            "gradient_clip_val": gradient_clip_val,
            "gradient_clip_algorithm": gradient_clip_algorithm,
        }
        self.save_hyperparameters(
            {**{k: dict(v) for k, v in described.items() if isinstance(v, Mapping)}, **clipping},
            logger=options.get("checkpoint_info") is None,
        )
        self._adversarial = adversarial_of(self.loss)
        self.critic = make_critic(critic, self.codec) if isinstance(critic, Mapping) else critic
        self.critic.to(memory_format=self._format)
        self._make_critic_optimizer: MakeOptimizer = (
            make_optimizer(critic_optimizer, "critic_optimizer")
            if isinstance(critic_optimizer, Mapping)
            else critic_optimizer
        )
        self._clipping = (gradient_clip_val, gradient_clip_algorithm)
        self.critic_grad_norm: Tensor | None = None  # before clipping
        self._verdict: Verdict | None = None
        self._r1: Tensor | None = None  # the latest
        self._own_loss: Tensor | None = None  # the codec's without the critic

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **options: Any) -> Self:
        described = {name: config[name] for name in ("critic", "critic_optimizer")}
        return super().from_config(config, **{**described, **options})

    def configure_optimizers(self) -> Any:
        critic = self._make_critic_optimizer(list(self.critic.parameters()))
        return [super().configure_optimizers(), self._scheduled(critic)]

    def on_fit_start(self) -> None:
        super().on_fit_start()
        check_trainer(str(self.trainer.precision), self.trainer.accumulate_grad_batches)
        if isinstance(self.trainer.strategy, FSDPStrategy | DeepSpeedStrategy):
            raise ConfigError(
                "a critic trains on one device or with trainer.strategy=ddp: this strategy divides "
                "the weights among devices, and two optimizers step here."
            )

    def terms(self, batch: Tensor) -> LossTerms:
        """The loss of a training batch, whose gradient is also that of the critic's loss."""
        x = self._images(batch)
        quality = self.codec.rate.sample(len(x))
        output = self.codec(x, quality)
        plain: LossTerms = self.loss(output, x, quality)
        # (B,), as λ multiplies D and all is divided by λ^balance; of a mean.
        lmbda = self.loss.lmbda(quality).to(x.device).expand(len(x))
        weight = lmbda ** (1 - self.loss.balance) / len(x)
        share = self._adversarial.share(self.progress)
        critic = self.critic
        verdict = judge(
            critic,
            self._adversarial,
            x,
            output.x_hat,
            output.y_hat,
            share * weight if share else None,
            penalise=critic.r1 > 0 and self.global_step % critic.r1_every == 0,
        )
        added = share * (
            self._adversarial.weight * verdict.adversarial
            + self._adversarial.matching * verdict.matching
        )  # (B,), to D
        loss = plain.loss + (weight * added).sum()
        # One backward for both: DDP averages the gradients of a step together, and expects every
        # weight in them. The two sums below are zero but for their gradients.
        for gradient_only in (_carrying(output.x_hat, verdict.slope), verdict.critic):
            loss = loss + (gradient_only - gradient_only.detach())
        self._verdict, self._own_loss = verdict, plain.loss.detach()
        self._r1 = self._r1 if verdict.r1 is None else verdict.r1
        return plain._replace(
            loss=loss,
            distortion=plain.distortion + added.mean(),
            terms={
                **plain.terms,
                "adversarial": verdict.adversarial.mean(),
                "matching": verdict.matching.mean(),
            },
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        codec_optimizer, critic_optimizer = self.trainer.optimizers
        for optimizer in (codec_optimizer, critic_optimizer):
            optimizer.zero_grad()
        self.manual_backward(loss)
        # Lightning counts the steps of what it hands out, so the run's clock is the codec's.
        counted = self.optimizers()
        assert isinstance(counted, list)
        counted[0].step()
        critic_optimizer.step()
        for scheduler in self._schedulers():
            if isinstance(scheduler, ReduceLROnPlateau):
                value = self.trainer.callback_metrics.get("val/loss")
                if value is not None:
                    scheduler.step(value)
            else:
                scheduler.step()
        return loss.detach()

    def _schedulers(self) -> list[Any]:
        """Of torch's kind, which Lightning leaves to a module that steps by itself."""
        return [config.scheduler for config in self.trainer.lr_scheduler_configs]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Both sides are checked before either steps.
        assert self._verdict is not None
        assert self._own_loss is not None
        self.critic_grad_norm = clip(list(self.critic.parameters()), *self._clipping)
        loss, norm = self._verdict.critic_loss, self.critic_grad_norm
        if not agreed(self.trainer, int(not math.isfinite(self._own_loss))):
            finite = all(math.isfinite(value) for value in (loss, norm, *self._judged()))
            if agreed(self.trainer, int(not finite)):
                raise NonFiniteError(
                    f"the critic's loss is {float(loss):g} and its gradient's norm {float(norm):g}",
                    self.global_step + 1,
                    "Lower critic_optimizer.lr or loss.adversarial.weight, or set "
                    "critic.spectral=true, critic.r1=1 or trainer.precision=32-true",
                )
        super().on_before_optimizer_step(optimizer)
        self.configure_gradient_clipping(optimizer, *self._clipping)

    def _judged(self) -> tuple[Tensor, ...]:
        assert self._verdict is not None
        return self._verdict.adversarial.mean(), self._verdict.matching.mean()

    def scalars(self) -> dict[str, Tensor]:
        assert self._verdict is not None
        verdict = self._verdict
        critic = {
            "critic_loss": verdict.critic_loss,
            "critic_real": verdict.real,
            "critic_fake": verdict.fake,
            "critic_grad_norm": self.critic_grad_norm,
            "critic_r1": self._r1,
        }
        known = {name: value for name, value in critic.items() if value is not None}
        return {**super().scalars(), **known}

    def take_apart(self, checkpoint: Mapping[str, Any]) -> None:
        super().take_apart(checkpoint)
        if "critic_state_dict" in checkpoint:
            self.critic.load_state_dict(checkpoint["critic_state_dict"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["critic_state_dict"] = self.critic.state_dict()


def _carrying(x: Tensor, slope: Tensor | None) -> Tensor:
    """A scalar whose gradient by ``x`` is ``slope``."""
    return x.new_zeros(()) if slope is None else (x * slope).sum()
