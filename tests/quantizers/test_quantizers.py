"""Theorems every quantizer must satisfy, and each relaxation's own promise."""

from __future__ import annotations

import math

import pytest
import torch

from tngexp.quantizers import Mixed, Noise, Quantizer, SoftRound, SoftToHard, StraightThrough
from tngexp.quantizers.soft_round import soft_round
from tngexp.types import ConfigError

ALL = [Noise, StraightThrough, Mixed, SoftRound, SoftToHard]


@pytest.fixture(params=ALL, ids=lambda cls: cls.__name__)
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    return request.param()


def residuals() -> torch.Tensor:
    return (3 * torch.randn(2, 4, 5, 6)).clamp(-8, 8)


def test_reproduction_points_are_fixed_points(quantizer: Quantizer) -> None:
    points = quantizer.dequantize(quantizer.quantize(residuals()))
    assert torch.equal(quantizer.dequantize(quantizer.quantize(points)), points)


def test_hard_quantization_takes_the_nearest_point(quantizer: Quantizer) -> None:
    residual = residuals()
    chosen = quantizer.dequantize(quantizer.quantize(residual))
    candidates = quantizer.dequantize(quantizer.quantize(torch.linspace(-9, 9, 3001))).unique()
    nearest = (residual.unsqueeze(-1) - candidates).abs().amin(-1)
    torch.testing.assert_close((residual - chosen).abs(), nearest)


def test_cells_contain_what_was_quantized_and_tile_the_line(quantizer: Quantizer) -> None:
    residual = torch.linspace(-6, 6, 401)
    symbols = quantizer.quantize(residual)
    cells = quantizer.cells(symbols)
    assert bool(((cells.lower <= residual) & (residual <= cells.upper)).all())
    present = symbols.unique()
    inner = quantizer.cells(present)
    torch.testing.assert_close(inner.upper[:-1], inner.lower[1:])


def test_evaluation_is_hard_and_deterministic(quantizer: Quantizer) -> None:
    quantizer.eval()
    residual = residuals()
    first, second = quantizer(residual), quantizer(residual)
    assert torch.equal(first.decoded, second.decoded)
    assert torch.equal(first.decoded, quantizer.dequantize(quantizer.quantize(residual)))
    assert first.cells.weight is None


def test_training_passes_gradients_to_the_residual(quantizer: Quantizer) -> None:
    residual = residuals().requires_grad_()
    relaxed = quantizer.train()(residual)
    (relaxed.decoded**2).sum().backward()
    assert residual.grad is not None
    assert residual.grad.isfinite().all()
    assert (residual.grad != 0).float().mean() > 0.5


def test_noise_gives_decoder_and_rate_the_same_sample() -> None:
    residual = residuals()
    decoded, cells = Noise().relax(residual)
    torch.testing.assert_close((cells.lower + cells.upper) / 2, decoded)
    assert (decoded - residual).abs().max() <= 0.5
    assert (decoded - residual).std().item() == pytest.approx(1 / math.sqrt(12), rel=0.1)


def test_straight_through_rounds_for_both() -> None:
    residual = residuals()
    decoded, cells = StraightThrough().relax(residual)
    torch.testing.assert_close(decoded, residual.round())
    torch.testing.assert_close(cells.lower, residual.round() - 0.5)


def test_mixed_rounds_for_the_decoder_and_adds_noise_for_the_rate() -> None:
    residual = residuals()
    decoded, cells = Mixed().relax(residual)
    torch.testing.assert_close(decoded, residual.round())
    noise = (cells.lower + cells.upper) / 2 - residual
    assert noise.abs().max() <= 0.5 + 1e-6
    assert noise.std() > 0.2


def test_soft_round_goes_from_identity_to_rounding() -> None:
    x = torch.arange(-2.88, 2.9, 0.2, dtype=torch.float64)  # no half-integers
    torch.testing.assert_close(soft_round(x, 1e-3), x, atol=1e-4, rtol=0)
    torch.testing.assert_close(soft_round(x, 1000.0), x.round(), atol=1e-4, rtol=0)
    integers = torch.arange(-3.0, 4)
    torch.testing.assert_close(soft_round(integers, 5.0), integers)


def test_soft_round_anneals_alpha_geometrically() -> None:
    quantizer = SoftRound(alpha_start=1.0, alpha_end=16.0)
    quantizer.anneal(0.5)
    assert quantizer.alpha.item() == pytest.approx(4.0)
    quantizer.anneal(1.0)
    assert quantizer.alpha.item() == pytest.approx(16.0)


def test_soft_to_hard_hardens_with_sigma() -> None:
    quantizer = SoftToHard(sigma_end=1e5)
    residual = residuals()
    quantizer.anneal(1.0)
    soft = quantizer.relax(residual)
    hard = quantizer.dequantize(quantizer.quantize(residual))
    assert (soft.decoded - hard).abs().mean() < 1e-2
    assert soft.cells.weight is not None
    torch.testing.assert_close(soft.cells.weight.sum(0), torch.ones_like(residual))


def test_soft_to_hard_learns_its_centers_and_keeps_them_sorted() -> None:
    quantizer = SoftToHard(centers=5)
    torch.testing.assert_close(quantizer.centers(), torch.arange(-2.0, 3))
    with torch.no_grad():
        quantizer.log_gaps.copy_(torch.tensor([-30.0, 1.0, 0.0, -5.0]))
    assert bool((quantizer.centers().diff() >= 1 / 16 - 1e-6).all())
    quantizer.relax(residuals()).decoded.square().sum().backward()
    assert quantizer.log_gaps.grad is not None
    assert bool((quantizer.log_gaps.grad[1:3] != 0).all())


@pytest.mark.parametrize("centers", [1, 4])
def test_soft_to_hard_refuses_a_lattice_without_middle(centers: int) -> None:
    with pytest.raises(ConfigError, match="odd"):
        SoftToHard(centers=centers)


def test_schedules_must_grow() -> None:
    with pytest.raises(ConfigError, match="alpha_start"):
        SoftRound(alpha_start=3.0, alpha_end=2.0)
    with pytest.raises(ConfigError, match="sigma_start"):
        SoftToHard(sigma_start=0.0)
