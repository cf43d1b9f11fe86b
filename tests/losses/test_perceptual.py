"""The sum of named terms: which are computed, what they are, and what is refused."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import piq
import pytest
import torch
from torch import Tensor, nn

from tngexp.losses import (
    Adversarial,
    CodecFeatures,
    Haar,
    MixedLoss,
    PerceptualLoss,
    RateDistortionLoss,
    Wasserstein,
)
from tngexp.losses.perceptual import TERMS
from tngexp.training.loss import make_loss
from tngexp.types import CodecOutput, ConfigError

LADDER = {"lmbda": 1.0, "lmbda_min": 0.5, "lmbda_max": 2.0}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No loss may reach for the network, and no weights lie where they are looked for."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a loss opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


def loss_of(**weights: float) -> PerceptualLoss:
    return PerceptualLoss(**LADDER, weights=weights)


def pictures(side: int = 64) -> tuple[Tensor, Tensor]:
    x = torch.rand(2, 3, side, side)
    return x, (x + 0.2 * torch.randn_like(x)).requires_grad_()


def test_distortion_is_the_weighted_sum_of_its_terms() -> None:
    x, x_hat = pictures(176)
    y = x_hat.detach().clamp(0, 1)
    wanted = {"data_range": 1.0, "reduction": "none"}
    expected = {
        "mse": (x - x_hat).detach().square().mean((1, 2, 3)),
        "ms_ssim": piq.multi_scale_ssim(y, x, **wanted),
        "wasserstein": Wasserstein(Haar(), 4.0)(x, x_hat).detach(),
        "haarpsi": piq.haarpsi(y, x, **wanted),
        "mdsi": piq.mdsi(y, x, **wanted),
    }
    weights = {"mse": 0.001, "msssim": 2.0, "wasserstein": 0.003, "haarpsi": 4.0, "mdsi": 5.0}
    found = loss_of(**weights).distortion(x, x_hat)
    assert found.terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found.terms[name].detach(), value, atol=1e-5, rtol=1e-5)
    total = (
        0.001 * 255**2 * expected["mse"]
        + 2 * (1 - expected["ms_ssim"])
        + 0.003 * expected["wasserstein"]
        + 4 * (1 - expected["haarpsi"])
        + 5 * expected["mdsi"]
    )
    torch.testing.assert_close(found.total.detach(), total, atol=1e-4, rtol=1e-5)


def test_of_mse_and_ms_ssim_alone_it_is_the_mixed_loss() -> None:
    x, x_hat = pictures(176)
    mixed = MixedLoss(**LADDER, mse_weight=0.1, msssim_weight=0.9).distortion(x, x_hat)
    found = loss_of(mse=0.1, msssim=0.9).distortion(x, x_hat)
    torch.testing.assert_close(found.total, mixed.total)
    torch.testing.assert_close(found.terms, mixed.terms)


def test_terms_without_weight_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError("computed in vain")

    for name in ("haarpsi", "mdsi"):
        monkeypatch.setattr(piq, name, refuse)
    monkeypatch.setattr(Wasserstein, "forward", refuse)
    x, x_hat = pictures()
    loss = loss_of(mse=1.0, wasserstein=0.0, haarpsi=0.0, lpips=0)
    assert loss.distortion(x, x_hat).terms.keys() == {"mse"}
    assert loss.wasserstein is None
    with pytest.raises(AssertionError, match="in vain"):
        loss_of(mdsi=1.0).distortion(x, x_hat)


def test_mse_is_logged_without_a_weight_and_without_a_gradient() -> None:
    x, x_hat = pictures()
    terms = loss_of(mdsi=1.0).distortion(x, x_hat).terms
    assert terms.keys() == {"mdsi", "mse"}
    torch.testing.assert_close(terms["mse"], (x - x_hat).detach().square().mean((1, 2, 3)))
    assert not terms["mse"].requires_grad


@pytest.mark.parametrize(
    ("term", "side"), [("mse", 1), ("msssim", 176), ("wasserstein", 32), ("haarpsi", 16)]
)
def test_min_side_is_the_largest_of_its_terms(term: str, side: int) -> None:
    loss = loss_of(**{term: 1.0})
    assert loss.min_side == side
    x = torch.rand(1, 3, side, side)
    assert loss.distortion(x, 0.9 * x).total.isfinite().all()
    assert loss_of(mse=1.0, haarpsi=1.0).min_side == 16


@pytest.mark.parametrize("name", ["mse", "wasserstein", "haarpsi", "mdsi"])
def test_each_term_pulls_towards_the_original_and_back_into_range(name: str) -> None:
    x, x_hat = pictures()
    output = CodecOutput(x_hat, torch.zeros(2, 4, 4, 4), None)
    loss = loss_of(**{name: 1.0})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(output, x, None)
    assert terms.loss.dtype == torch.float32
    assert [key for key, value in terms.scalars().items() if value.requires_grad] == ["loss"]
    terms.loss.backward()
    assert x_hat.grad is not None
    nearer = (x_hat - 1e-3 * x_hat.grad / x_hat.grad.abs().max()).detach()
    assert loss.distortion(x, nearer).total.mean() < terms.distortion
    assert x_hat.grad[(x_hat > 1.05) | (x_hat < -0.05)].abs().max() > 0


@pytest.mark.parametrize("name", ["haarpsi", "mdsi", "wasserstein"])
def test_flat_pictures_have_finite_gradients(name: str) -> None:
    """MDSI takes the root of squared slopes."""
    x = torch.full((1, 3, 32, 32), 0.5)
    x[..., 16:] = torch.rand(1, 3, 32, 16)
    x_hat = (0.3 * x.round()).requires_grad_()
    loss_of(**{name: 1.0}).distortion(x, x_hat).total.sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.isfinite().all()
    assert x_hat.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_networks_need_weights_that_nobody_downloads(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"loss.weights.{name} needs weights; download") as info:
        loss_of(mse=1.0, **{name: 0.1})
    assert f"into {tmp_path}" in str(info.value)


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_networks_judge_and_learn_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Network(nn.Module):
        """In place of piq's: the same call, no weights to be fetched."""

        def __init__(self, reduction: str) -> None:
            super().__init__()
            assert reduction == "none"
            self.layer = nn.Conv2d(3, 4, 3)

        def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
            assert x_hat.min() >= 0
            assert x_hat.max() <= 1
            gap = (self.layer(x_hat) - self.layer(x)).square()
            return gap.mean((1, 2, 3), keepdim=True)[..., 0]

    monkeypatch.setattr("tngexp.losses.perceptual.lacks_weights", lambda name: None)
    monkeypatch.setattr(piq, name.upper(), Network)
    loss = loss_of(**{name: 2.0}).train()
    assert loss.min_side == 32
    x, x_hat = pictures()
    found = loss.distortion(x, x_hat)
    assert found.total.shape == (2,)
    torch.testing.assert_close(found.total, 2 * found.terms[name])
    found.total.sum().backward()
    assert x_hat.grad is not None
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())
    assert not any(module.training for module in loss.networks[name].modules())


def test_adversarial_options_are_kept_for_the_training() -> None:
    options = {"kind": "relativistic", "weight": 0.5, "matching": 2, "ramp": [0.1, 0.5]}
    loss = PerceptualLoss(**LADDER, weights={"mse": 1.0}, adversarial=options)
    assert loss.adversarial == Adversarial("relativistic", 0.5, 2, (0.1, 0.5))
    plain = loss_of(mse=1.0)
    assert plain.adversarial == Adversarial()
    assert plain.adversarial.weight == 0
    x, x_hat = pictures()
    torch.testing.assert_close(loss.distortion(x, x_hat), plain.distortion(x, x_hat))


def test_features_may_be_a_codecs() -> None:
    config: dict[str, Any] = {
        "_target_": "tngexp.losses.perceptual.PerceptualLoss",
        **LADDER,
        "weights": {"wasserstein": 1.0},
        "features": "codec:tng-mixed",
        "sigma": 8.0,
    }
    loss = make_loss(config)
    assert isinstance(loss, PerceptualLoss)
    assert loss.wasserstein is not None
    assert isinstance(loss.wasserstein.features, CodecFeatures)
    assert loss.min_side == 32
    x, x_hat = pictures()
    found = loss.distortion(x, x_hat)
    found.total.sum().backward()
    assert x_hat.grad is not None
    assert not any(p.requires_grad for p in loss.parameters())
    for name, message in (("nowhere", "nowhere"), ("restore-mse", "network behind conventional")):
        with pytest.raises(ConfigError, match=rf"loss\.features=codec:{name}: .*{message}"):
            make_loss(config | {"features": f"codec:{name}"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"mse": -1.0}}, r"loss\.weights\.mse=-1\.0 must be a number of 0 or more"),
        ({"weights": {"mse": "x"}}, r"loss\.weights\.mse='x' must be a number"),
        ({"weights": {"mse": float("nan")}}, r"loss\.weights\.mse=nan must be a number"),
        ({"weights": {"mse": 0, "mdsi": 0.0}}, r"all of loss\.weights are 0"),
        ({"weights": {}}, r"all of loss\.weights are 0"),
        ({"weights": {"haarps": 1}}, r"loss\.weights\.haarps\. Did you mean 'haarpsi'\?"),
        ({"features": "vgg"}, r"loss\.features=vgg is unknown: choose haar or codec:"),
        ({"features": "codec:x"}, r"loss\.features=codec:x: a loss opens no codecs"),
        ({"weights": {"wasserstein": 1}, "sigma": -2.0}, r"loss\.sigma=-2\.0 must be 0 or more"),
        ({"adversarial": {"weight": -1.0}}, r"loss\.adversarial\.weight=-1\.0 must not be"),
        ({"adversarial": {"wieght": 1.0}}, r"Did you mean 'weight'\?"),
        ({"adversarial": {"ramp": [0.5]}}, r"loss\.adversarial\.ramp=\[0\.5\] must be"),
        ({"adversarial": {"kind": "wgan"}}, r"loss\.adversarial\.kind='wgan' must be one of"),
        ({"lmbda": 0.0}, r"loss\.lmbda must be positive"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PerceptualLoss(**{**LADDER, "weights": {"mse": 1.0}, **options})


def test_terms_are_those_of_the_configuration() -> None:
    assert isinstance(loss_of(mse=1.0), RateDistortionLoss)
    from omegaconf import OmegaConf

    from tngexp.common.configuration import CONF_DIR

    assert tuple(OmegaConf.load(CONF_DIR / "loss/perceptual.yaml").weights) == TERMS
