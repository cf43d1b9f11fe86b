"""Theorems every quantizer must satisfy, and each relaxation's own promise."""

from __future__ import annotations

import math

import pytest
import torch

from tngexp.quantizers import (
    DeadZone,
    Mixed,
    Noise,
    Quantizer,
    SoftRound,
    SoftToHard,
    StraightThrough,
    VectorQuantizer,
)
from tngexp.quantizers.base import IntegerQuantizer
from tngexp.quantizers.soft_round import soft_round
from tngexp.types import ConfigError

NEAREST = [Noise, StraightThrough, Mixed, SoftRound, SoftToHard]
SCALAR = [*NEAREST, DeadZone]
ALL = [*SCALAR, VectorQuantizer]


@pytest.fixture(params=ALL, ids=lambda cls: cls.__name__)
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    return request.param()


@pytest.fixture(params=SCALAR, ids=lambda cls: cls.__name__)
def scalar(request: pytest.FixtureRequest) -> Quantizer:
    return request.param()


def points(quantizer: Quantizer, residual: torch.Tensor) -> torch.Tensor:
    alphabet = quantizer.alphabet()
    return alphabet.dequantize(alphabet.quantize(residual))


def residuals() -> torch.Tensor:
    return (3 * torch.randn(2, 4, 5, 6)).clamp(-8, 8)


def test_reproduction_points_are_fixed_points(quantizer: Quantizer) -> None:
    found = points(quantizer, residuals())
    assert torch.equal(points(quantizer, found), found)


@pytest.mark.parametrize("kind", NEAREST)
def test_hard_quantization_takes_the_nearest_point(kind: type[Quantizer]) -> None:
    quantizer, residual = kind(), residuals()
    chosen = points(quantizer, residual)
    candidates = points(quantizer, torch.linspace(-9, 9, 3001)).unique()
    nearest = (residual.unsqueeze(-1) - candidates).abs().amin(-1)
    torch.testing.assert_close((residual - chosen).abs(), nearest)


def test_a_codebook_takes_the_nearest_codeword() -> None:
    quantizer, residual = VectorQuantizer(size=7, group=2), residuals()
    words = quantizer.words.detach()
    pairs = residual.unflatten(1, (-1, 2)).movedim(2, -1)  # (B, M/2, h, w, 2)
    nearest = (pairs.unsqueeze(-2) - words).square().sum(-1).argmin(-1)
    assert torch.equal(quantizer.alphabet().quantize(residual), nearest)
    decoded = points(quantizer, residual).unflatten(1, (-1, 2)).movedim(2, -1)
    torch.testing.assert_close(decoded, words[nearest], atol=1 / 2048, rtol=0)


def test_cells_contain_what_was_quantized_and_tile_the_line(scalar: Quantizer) -> None:
    alphabet, residual = scalar.alphabet(), torch.linspace(-6, 6, 401)
    symbols = alphabet.quantize(residual)
    cells = alphabet.cells(symbols)
    assert bool(((cells.lower <= residual) & (residual <= cells.upper)).all())
    inner = alphabet.cells(symbols.unique())
    torch.testing.assert_close(inner.upper[:-1], inner.lower[1:])


def test_candidates_begin_with_the_nearest_and_differ(quantizer: Quantizer) -> None:
    alphabet, residual = quantizer.alphabet(), residuals()
    first, second = alphabet.candidates(residual)
    assert torch.equal(first, alphabet.quantize(residual))
    assert (first != second).float().mean() > 0.5
    error = [
        (alphabet.dequantize(symbols) - residual).square().sum() for symbols in (first, second)
    ]
    assert error[0] < error[1]


def test_the_dead_zone_is_as_wide_as_it_says() -> None:
    alphabet = DeadZone(width=1.5).alphabet()
    residual = torch.tensor([-2.8, -1.76, -1.74, -0.76, -0.74, 0.0, 0.74, 0.76, 1.74, 1.76, 2.8])
    expected = [-3, -2, -1, -1, 0, 0, 0, 1, 1, 2, 3]
    assert alphabet.quantize(residual).tolist() == expected
    cells = alphabet.cells(torch.tensor([-2, -1, 0, 1, 2]))
    assert cells.lower.tolist() == [-2.75, -1.75, -0.75, 0.75, 1.75]
    assert cells.upper.tolist() == [-1.75, -0.75, 0.75, 1.75, 2.75]
    plain, residual = DeadZone(width=1).alphabet(), residuals()
    assert torch.equal(plain.quantize(residual), residual.round().long())


@pytest.mark.parametrize("width", [0, 2, -1, float("nan")])
def test_a_dead_zone_that_cannot_be_is_refused(width: float) -> None:
    with pytest.raises(ConfigError, match=r"quantizer\.width"):
        DeadZone(width=width)


def test_symbols_are_described_in_one_place() -> None:
    with pytest.raises(ConfigError, match=r"quantize\(\), which nothing calls"):

        class _Old(IntegerQuantizer):
            def quantize(self, residual: torch.Tensor) -> torch.Tensor:
                return residual.floor().long()


def test_evaluation_is_hard_and_deterministic(quantizer: Quantizer) -> None:
    quantizer.eval()
    residual = residuals()
    first, second = quantizer(residual), quantizer(residual)
    assert torch.equal(first.decoded, second.decoded)
    assert torch.equal(first.decoded, points(quantizer, residual))
    if first.cells.weight is not None:  # a codebook's choice
        assert set(first.cells.weight.unique().tolist()) == {0, 1}


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
    hard = points(quantizer, residual)
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
    with pytest.raises(ConfigError, match="sigma_start"):
        VectorQuantizer(sigma_start=2.0, sigma_end=1.0)


def test_a_codebook_hardens_with_sigma_and_learns() -> None:
    quantizer, residual = VectorQuantizer(sigma_end=1e5), residuals()
    quantizer.anneal(1.0)
    soft = quantizer.relax(residual)
    # All but those half-way between two codewords.
    assert ((soft.decoded - points(quantizer, residual)).abs() > 1e-2).float().mean() < 0.05
    assert soft.cells.weight is not None
    assert soft.cells.group == 2
    torch.testing.assert_close(soft.cells.weight.sum(0), torch.ones(2, 2, 5, 6))
    quantizer.anneal(0.0)
    quantizer.relax(residual).decoded.square().sum().backward()
    assert quantizer.words.grad is not None
    assert bool((quantizer.words.grad != 0).any())


@pytest.mark.parametrize(("size", "group"), [(1, 2), (8, 0)])
def test_a_codebook_needs_words(size: int, group: int) -> None:
    with pytest.raises(ConfigError, match="size ≥ 2"):
        VectorQuantizer(size, group)


def test_only_a_codebook_spans_channels(quantizer: Quantizer) -> None:
    expected = 2 if isinstance(quantizer, VectorQuantizer) else 1
    assert quantizer.group == quantizer.alphabet().group == expected


def test_an_annealing_cannot_start_below_zero() -> None:
    with pytest.raises(ConfigError, match="alpha_start"):
        SoftRound(alpha_start=-1.0, alpha_end=2.0)
