"""L = R + λ·D against hand computation and pytorch-msssim."""

from __future__ import annotations

import pytest
import torch
from piq import multi_scale_ssim
from pytorch_msssim import ms_ssim as reference_ms_ssim

from tngexp.losses import Distortion, MixedLoss, MSELoss, MSSSIMLoss, RateDistortionLoss
from tngexp.losses.msssim import differentiable_ms_ssim
from tngexp.types import CodecOutput, ConfigError

LADDER = {"lmbda": 1.0, "lmbda_min": 0.5, "lmbda_max": 2.0}
SIDE = 176


def sample(side: int = SIDE) -> tuple[torch.Tensor, CodecOutput]:
    x = torch.rand(2, 3, side, side)
    x_hat = (x + 0.05 * torch.randn_like(x)).requires_grad_()
    y_bits = torch.rand(2, 4, 11, 11, requires_grad=True)
    return x, CodecOutput(x_hat, y_bits, torch.rand(2, 2, 3, 3))


def test_mse_loss_is_rate_plus_lambda_times_scaled_error() -> None:
    x, output = sample(32)
    quality = torch.tensor([0.0, 1.0])
    terms = MSELoss(lmbda=1.0, lmbda_min=0.01, lmbda_max=0.04)(output, x, quality)
    bpp = output.bits() / 32**2
    mse = (x - output.x_hat).square().flatten(1).mean(1)
    lmbda = torch.tensor([0.01, 0.04])
    torch.testing.assert_close(terms.loss, (bpp + lmbda * 255**2 * mse).mean())
    torch.testing.assert_close(terms.lmbda, lmbda.mean())
    torch.testing.assert_close(terms.bpp, bpp.mean().detach())
    torch.testing.assert_close(terms.y_bpp + terms.z_bpp, terms.bpp)
    torch.testing.assert_close(terms.terms, {"mse": mse.mean().detach()})


def test_lambda_is_one_number_or_a_geometric_scale_of_quality() -> None:
    loss = MSELoss(lmbda=0.3, lmbda_min=0.001, lmbda_max=0.1)
    torch.testing.assert_close(loss.lmbda(None), torch.tensor(0.3))
    got = loss.lmbda(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(got, torch.tensor([0.001, 0.01, 0.1]))


def test_a_loss_of_the_users_own_has_terms_of_any_name() -> None:
    class Mine(RateDistortionLoss):
        def __init__(self) -> None:
            super().__init__(**LADDER)
            self.network = torch.nn.Conv2d(3, 3, 1)

        def distortion(self, x: torch.Tensor, x_hat: torch.Tensor) -> Distortion:
            far = (self.network(x) - self.network(x_hat)).abs().mean((1, 2, 3))
            return Distortion(far, {"far": far, "loss": far})

    x, output = sample(32)
    loss = Mine().to(torch.float64).float()  # the network follows
    terms = loss(output, x, None)
    assert not terms.terms["far"].requires_grad
    scalars = terms.scalars()
    assert scalars["far"] == terms.distortion
    assert scalars["loss"] is terms.loss  # a term hides no field
    assert all(value.dim() == 0 for value in scalars.values())


def test_ms_ssim_loss_agrees_with_pytorch_msssim() -> None:
    x, output = sample()
    terms = MSSSIMLoss(**LADDER)(output, x, None)
    expected = 1 - reference_ms_ssim(x, output.x_hat.clamp(0, 1), data_range=1.0)
    torch.testing.assert_close(terms.distortion, expected.detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("progress", "share"), [(0.0, 1.0), (0.2, 1.0), (0.3, 0.5), (0.35, 0.25), (0.4, 0.0), (1, 0)]
)
def test_mse_leads_and_hands_over(progress: float, share: float) -> None:
    x, output = sample()
    loss = MSSSIMLoss(**LADDER, mse_until=0.4, mse_weight=0.001)
    loss.at(progress)
    mse, msssim = MSELoss(**LADDER), MSSSIMLoss(**LADDER)

    def gradient(loss: RateDistortionLoss) -> torch.Tensor:
        output.x_hat.grad = output.y_bits.grad = None
        loss(output, x, None).loss.backward()
        assert output.x_hat.grad is not None
        return output.x_hat.grad

    expected = share * 0.001 * gradient(mse) + (1 - share) * gradient(msssim)
    torch.testing.assert_close(gradient(loss), expected)
    measured = loss.eval()(output, x, None)  # validations see what the run is for
    torch.testing.assert_close(measured.distortion, msssim(output, x, None).distortion)


def test_mixed_loss_is_the_weighted_sum() -> None:
    x, output = sample()
    mixed = MixedLoss(**LADDER, mse_weight=0.25, msssim_weight=0.75)(output, x, None)
    mse = MSELoss(**LADDER)(output, x, None)
    msssim = MSSSIMLoss(**LADDER)(output, x, None)
    expected = 0.25 * mse.distortion + 0.75 * msssim.distortion
    torch.testing.assert_close(mixed.distortion, expected)
    torch.testing.assert_close(mixed.terms, {**msssim.terms, **mse.terms})


@pytest.mark.parametrize(
    "loss",
    [MSELoss(**LADDER), MSSSIMLoss(**LADDER), MixedLoss(**LADDER, mse_weight=1, msssim_weight=1)],
    ids=["mse", "msssim", "mixed"],
)
def test_only_the_loss_carries_gradients_and_they_are_float32(loss: RateDistortionLoss) -> None:
    x, output = sample()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(output, x, None)
    assert terms.loss.dtype == torch.float32
    assert [name for name, value in terms.scalars().items() if value.requires_grad] == ["loss"]
    assert not loss.state_dict()
    terms.loss.backward()
    assert output.x_hat.grad is not None
    assert output.y_bits.grad is not None
    assert output.x_hat.grad.isfinite().all()


def test_overshooting_pixels_are_pulled_back() -> None:
    x, output = sample()
    x_hat = (output.x_hat.detach() * 0 + 1.5).requires_grad_()
    MSSSIMLoss(**LADDER)(CodecOutput(x_hat, output.y_bits, None), x, None).loss.backward()
    assert x_hat.grad is not None
    assert (x_hat.grad > 0).any()
    assert not (x_hat.grad < 0).any()


def test_balance_divides_by_a_power_of_lambda() -> None:
    x, output = sample(32)
    ladder = LADDER | {"lmbda": 4.0}
    plain = MSELoss(**ladder)(output, x, None)
    balanced = MSELoss(**ladder, balance=0.5)(output, x, None)
    torch.testing.assert_close(balanced.loss, plain.loss / 2)


def test_bad_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"loss\.lmbda must be positive"):
        MSELoss(lmbda=0.0, lmbda_min=1.0, lmbda_max=2.0)
    with pytest.raises(ConfigError, match=r"loss\.lmbda must be positive"):
        MSELoss(lmbda=float("nan"), lmbda_min=1.0, lmbda_max=2.0)
    for low in (2.0, 3.0):
        with pytest.raises(ConfigError, match=rf"lmbda_min={low} must be below loss.lmbda_max=2"):
            MSELoss(lmbda=1.0, lmbda_min=low, lmbda_max=2.0)
    with pytest.raises(ConfigError, match="both zero"):
        MixedLoss(**LADDER, mse_weight=0.0, msssim_weight=0.0)
    with pytest.raises(ConfigError, match=r"loss.mse_until=1.5 must lie in 0 … 1"):
        MSSSIMLoss(**LADDER, mse_until=1.5)
    with pytest.raises(ConfigError, match=r"loss.mse_weight=0 must be above 0"):
        MSSSIMLoss(**LADDER, mse_until=0.5, mse_weight=0)


@pytest.mark.parametrize("size", [(176, 176), (192, 256), (181, 203)])
def test_ms_ssim_and_its_gradient_are_those_of_piq(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    x_hat = (0.8 * x + 0.2 * torch.rand_like(x)).requires_grad_()
    expected = multi_scale_ssim(x, x_hat, data_range=1.0, reduction="none")
    (expected_grad,) = torch.autograd.grad(expected.sum(), x_hat)
    value = differentiable_ms_ssim(x, x_hat)
    (grad,) = torch.autograd.grad(value.sum(), x_hat)
    torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(grad, expected_grad, atol=1e-6 * grad.abs().max(), rtol=1e-4)
    single = differentiable_ms_ssim(x.float(), x_hat.float())
    torch.testing.assert_close(single.double(), expected, atol=1e-5, rtol=0)


def test_ms_ssim_of_opposites_has_a_finite_gradient() -> None:
    x = (torch.arange(SIDE) % 2).float().expand(1, 3, SIDE, SIDE)
    x_hat = (1 - x).clone().requires_grad_()  # every correlation is negative
    differentiable_ms_ssim(x, x_hat).sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.isfinite().all()


def test_bits_are_counted_per_pixel_of_an_oblong_image() -> None:
    x = torch.rand(2, 3, 24, 40)
    output = CodecOutput(x, torch.rand(2, 4, 3, 5), torch.rand(2, 2, 1, 2))
    terms = MSELoss(**LADDER)(output, x, None)
    torch.testing.assert_close(terms.bpp, output.bits().mean() / (24 * 40))
    assert MSELoss.min_side == 1


@pytest.mark.parametrize("size", [(180, 210), (211, 176)])
def test_dark_and_oblong_pictures_agree_with_piq(size: tuple[int, int]) -> None:
    """Where means are near 0 the constants of the luminance term decide."""
    x = 0.02 * torch.rand(1, 3, *size)
    x_hat = (0.5 * x + 0.01 * torch.rand(1, 3, *size)).clamp(0, 1)
    expected = multi_scale_ssim(x, x_hat, data_range=1.0, reduction="none")
    torch.testing.assert_close(differentiable_ms_ssim(x, x_hat), expected, atol=1e-5, rtol=1e-4)
