"""What a training configuration says of a critic, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from tngexp.critics import Critic
from tngexp.losses import RateDistortionLoss
from tngexp.losses.adversarial import Adversarial
from tngexp.model.codec import Codec
from tngexp.schema.instantiate import instantiate
from tngexp.schema.trainer import TrainerConf
from tngexp.training.optimizer import make_optimizer
from tngexp.types import ConfigError

__all__ = ["adversarial_of", "check_trainer", "critic_arguments", "make_critic"]

_SCALED = ("16-mixed", "16")


def critic_arguments(
    config: Mapping[str, Any], settings: TrainerConf, codec: nn.Module, loss: RateDistortionLoss
) -> dict[str, Any]:
    """The further arguments of :class:`LitAdversarial` in a training configuration; none without
    a critic.

    Raises:
        ConfigError: for a critic that cannot be built, sees too little of a crop, or has no part
            in the loss, and for options that do not go with two optimizers.
    """
    if config.get("critic") is None:
        return {}
    adversarial = adversarial_of(loss)
    if not adversarial.weight and not adversarial.matching:
        raise ConfigError(
            "loss.adversarial.weight and loss.adversarial.matching are both 0, so the critic would "
            "judge in vain: set loss.adversarial.weight=…, or leave out critic"
        )
    check_trainer(str(settings.precision), settings.accumulate_grad_batches)
    if config.get("critic_optimizer") is None:
        raise ConfigError(
            "critic_optimizer is not set, and a critic needs one: give it the _target_ of a class, "
            "such as critic_optimizer._target_=torch.optim.Adam"
        )
    assert isinstance(codec, Codec)  # a configuration with a critic has no other
    critic = make_critic(config["critic"], codec)
    crop = config["data"].get("crop")
    if isinstance(crop, int) and crop < critic.min_side:
        fitting = -(-critic.min_side // codec.stride) * codec.stride
        raise ConfigError(
            f"data.crop={crop} is too small for this critic, which needs at least "
            f"{critic.min_side} pixels; use e.g. data.crop={fitting}, or fewer critic.channels"
        )
    return {
        "critic": critic,
        "critic_optimizer": make_optimizer(config["critic_optimizer"], "critic_optimizer"),
        "gradient_clip_val": settings.gradient_clip_val,
        "gradient_clip_algorithm": settings.gradient_clip_algorithm,
    }


def adversarial_of(loss: RateDistortionLoss) -> Adversarial:
    """The adversarial term of a loss.

    Raises:
        ConfigError: where it has none.
    """
    adversarial = getattr(loss, "adversarial", None)
    if not isinstance(adversarial, Adversarial):
        raise ConfigError(
            f"a critic needs a loss with an adversarial term, which {type(loss).__name__} has not: "
            "choose loss=perceptual, or leave out critic"
        )
    return adversarial


def make_critic(config: Mapping[str, Any], codec: Codec) -> Critic:
    """The critic that ``config`` describes, for the latent of ``codec``.

    Raises:
        ConfigError: for a class that is none, or options that it does not take.
    """
    transform = codec.transform
    critic: Critic = instantiate(
        config,
        "critic",
        Critic,
        latent_channels=transform.latent_channels,
        stride=transform.stride,
    )
    return critic


def check_trainer(precision: str, accumulate: int) -> None:
    """Raise ConfigError for what two optimizers in one step do not go with."""
    if precision in _SCALED:
        raise ConfigError(
            f"trainer.precision={precision} scales one loss, and a critic has another: use "
            "trainer.precision=bf16-mixed or 32-true"
        )
    if accumulate != 1:
        raise ConfigError(
            f"trainer.accumulate_grad_batches={accumulate} does not go with a critic, which takes "
            "a step with every batch: set it to 1, and data.batch_size to what fits"
        )
