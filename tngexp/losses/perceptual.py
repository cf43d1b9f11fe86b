"""Several distortions at once, each by its weight, and what a critic says of the rest."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from tngexp.common.options import did_you_mean, known_options
from tngexp.losses.adversarial import Adversarial
from tngexp.losses.base import Distortion, RateDistortionLoss
from tngexp.losses.features import Features, Haar
from tngexp.losses.frozen import Frozen
from tngexp.losses.mse import mean_squared_error
from tngexp.losses.msssim import differentiable_ms_ssim
from tngexp.losses.wasserstein import Wasserstein
from tngexp.metrics.perceptual import lacks_weights
from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError, lower_bound

__all__ = ["TERMS", "PerceptualLoss"]

# Smallest image side of each, in pixels: of HaarPSI three scales, of the others VGG's last layer.
_MIN_SIDES = {
    "mse": 1,
    "msssim": MS_SSIM_MIN_SIDE,
    "wasserstein": 1,  # and what its features and its pooling take
    "haarpsi": 16,
    "mdsi": 1,
    "lpips": 32,
    "dists": 32,
}
TERMS = tuple(_MIN_SIDES)
"""Names of the terms that ``weights`` may give a weight."""

_SIMILARITIES = ("msssim", "haarpsi")  # 1 for equal pictures
_LOGGED = {"msssim": "ms_ssim"}


@final
class PerceptualLoss(RateDistortionLoss):
    """D = Σ weight·term, of the terms whose weight is above 0; no others are computed.

    ``mse`` is 255²·MSE; ``msssim`` 1 − MS-SSIM; ``wasserstein`` the Wasserstein distortion of
    ``features`` (Qiu et al. 2024); ``haarpsi`` 1 − HaarPSI (Reisenhofer et al. 2018); ``mdsi``
    MDSI (Nafchi et al. 2016); ``lpips`` LPIPS with VGG-16 (Zhang et al. 2018); ``dists`` DISTS
    (Ding et al. 2020). The last two take weights that have to lie there already. All but
    ``wasserstein``'s are logged as the metric itself, similarities too; ``mse`` always is.

    Args:
        lmbda, lmbda_min, lmbda_max, balance: see :class:`RateDistortionLoss`.
        weights: by name of the term; 0 for what is not named.
        features: what ``wasserstein`` compares: ``haar``, or features made before. A training
            also takes ``codec:NAME_OR_PATH``, the analysis of a codec.
        sigma: how far texture may move in ``wasserstein``, see :class:`Wasserstein`.
        adversarial: options of :class:`Adversarial`, what a critic's judgement costs where a
            training has one; its terms are no part of D here.

    Attributes:
        adversarial: the same with defaults filled in; of weight 0 for None.

    Raises:
        ConfigError: for an unknown term, a negative weight, no weight above 0, unknown features, a
            negative σ, adversarial options out of range, or a metric whose weights are not there.
    """

    def __init__(
        self,
        lmbda: float,
        lmbda_min: float,
        lmbda_max: float,
        weights: Mapping[str, float],
        balance: float = 0.0,
        features: str | Features = "haar",
        sigma: float = 4.0,
        adversarial: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(lmbda, lmbda_min, lmbda_max, balance)
        self.weights = _checked(weights)
        self.adversarial = _adversarial(adversarial)
        self.min_side = max(_MIN_SIDES[name] for name in self.weights)
        chosen = _features(features)
        self.wasserstein: Wasserstein | None = None
        if "wasserstein" in self.weights:
            self.wasserstein = Wasserstein(chosen, sigma)
            self.min_side = max(self.min_side, self.wasserstein.min_side)
        self.networks = nn.ModuleDict(
            {name: _network(name) for name in ("lpips", "dists") if name in self.weights}
        )

    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        values = {name: self._value(name, x, x_hat) for name in self.weights}
        costs = [weight * _cost(name, values[name]) for name, weight in self.weights.items()]
        if "mse" not in values:  # logged all the same: PSNR is made of it
            values["mse"] = mean_squared_error(x, x_hat.detach())
        terms = {_LOGGED.get(name, name): value for name, value in values.items()}
        return Distortion(torch.stack(costs).sum(0), terms)

    def _value(self, name: str, x: Tensor, x_hat: Tensor) -> Tensor:
        """A term as it is logged, (B,)."""
        if name == "mse":
            return mean_squared_error(x, x_hat)
        if name == "msssim":
            return differentiable_ms_ssim(x, x_hat)
        if name == "wasserstein":
            assert self.wasserstein is not None
            value: Tensor = self.wasserstein(x, x_hat)
            return value
        if name in self.networks:
            return self.networks[name](_clamped(x_hat), x).flatten()
        return _of_piq(name, x, _clamped(x_hat))


def _cost(name: str, value: Tensor) -> Tensor:
    """What a weight multiplies: 0 for equal pictures."""
    if name == "mse":
        return 255.0**2 * value
    return 1 - value if name in _SIMILARITIES else value


def _checked(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights above 0, in the order of :data:`TERMS`."""
    for name, weight in weights.items():
        if name not in TERMS:
            raise ConfigError(
                f"unknown option loss.weights.{name}.{did_you_mean(str(name), TERMS)} "
                f"Terms: {', '.join(TERMS)}."
            )
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight < float("inf"):
            raise ConfigError(
                f"loss.weights.{name}={weight!r} must be a number of 0 or more; 0 leaves it out"
            )
    chosen = {name: float(weights[name]) for name in TERMS if weights.get(name)}
    if not chosen:
        raise ConfigError(
            "all of loss.weights are 0, so nothing would hold the picture to its original: "
            f"give one of {', '.join(TERMS)} a weight above 0"
        )
    return chosen


def _adversarial(options: Mapping[str, Any] | None) -> Adversarial:
    known = known_options(options or {}, Adversarial, "loss.adversarial")
    if "ramp" in known:
        known["ramp"] = tuple(known["ramp"])
    return Adversarial(**known)


def _features(given: str | Features) -> Features:
    if isinstance(given, Features):
        return given
    if given == "haar":
        return Haar()
    if given.startswith("codec:"):
        raise ConfigError(
            f"loss.features={given}: a loss opens no codecs. In Python, give it "
            "CodecFeatures(tngexp.load(NAME).model.transform); a training does so by itself"
        )
    raise ConfigError(
        f"loss.features={given} is unknown: choose haar or codec:NAME_OR_PATH, such as "
        "codec:tng-mixed"
    )


def _network(name: str) -> Frozen:
    """piq's network of that name, if its weights are there."""
    import piq  # half a second that few need

    if missing := lacks_weights(name.upper()):
        raise ConfigError(f"loss.weights.{name} {missing}")
    with warnings.catch_warnings():  # it asks torchvision for weights in a way that is deprecated
        warnings.simplefilter("ignore")
        return Frozen(getattr(piq, name.upper())(reduction="none"))


def _of_piq(name: str, x: Tensor, x_hat: Tensor) -> Tensor:
    import piq

    value: Tensor = getattr(piq, name)(x_hat, x, data_range=1.0, reduction="none")
    return value


def _clamped(x_hat: Tensor) -> Tensor:
    """In [0, 1], with gradients that pull overshooting pixels back and are nowhere NaN."""
    bounded: Tensor = _FiniteGradient.apply(x_hat)
    return -lower_bound(-lower_bound(bounded, 0.0), -1.0)


class _FiniteGradient(torch.autograd.Function):
    """The input itself; gradients that are not finite become 0.

    Metrics take roots of squared slopes, whose own slope at 0 is infinite: where a picture is flat
    they say nothing of which way to go.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.nan_to_num(0.0, 0.0, 0.0)
