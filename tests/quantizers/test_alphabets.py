"""Alphabets: symbols, points, cells and candidates against looking at all of them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tngexp.quantizers import Centers, Codebook, DeadZone, Integers
from tngexp.quantizers.alphabets import cubes, squared_distances
from tngexp.types import ConfigError

POINTS = torch.tensor([-2.0, -0.7001, 0.1, 0.6, 3.0])


def centers() -> Centers:
    return Centers.of(POINTS)


def codebook() -> Codebook:
    return Codebook.of(torch.tensor([[0.0, 0.0], [1.0, -1.0003], [-2.0, 0.5], [0.25, 3.0]]))


def residuals(*shape: int) -> torch.Tensor:
    return 2 * torch.randn(*shape)


def test_points_and_edges_lie_on_their_grids() -> None:
    alphabet = centers()
    assert alphabet.size == 5
    assert alphabet.group == 1
    expected = torch.tensor([-2.0, -717 / 1024, 102 / 1024, 614 / 1024, 3.0], dtype=torch.float64)
    assert torch.equal(alphabet.points, expected)
    middles = (expected[1:] + expected[:-1]) / 2
    assert alphabet.edges.tolist() == [round(float(256 * m)) for m in middles]
    words = codebook()
    assert (words.size, words.group) == (4, 2)
    assert words.words[1].tolist() == [1.0, -1024 / 1024]
    assert words.words.dtype == torch.float64


def test_integers_round_half_to_even_and_end_somewhere() -> None:
    alphabet = Integers()
    assert alphabet.size is None
    assert alphabet.group == 1
    x = torch.tensor([0.5, 1.5, -0.5, -1.5, 2.49, 1e9, -1e9])
    assert alphabet.quantize(x).tolist() == [0, 2, 0, -2, 2, 2**19, -(2**19)]
    assert alphabet.dequantize(torch.tensor([3]), torch.float64).dtype == torch.float64
    assert alphabet.dequantize(torch.tensor([3])).dtype == torch.float32
    assert alphabet.state() == {}
    assert alphabet.restored({}) is alphabet


def test_a_zone_is_closed_towards_its_symbol() -> None:
    """An edge belongs to the outer cell, on both sides, whatever the width."""
    alphabet = Integers(zero=160)
    half = 160 / 256
    at = torch.tensor([half, -half, half - 1e-4, 1 - 1e-4 + half, 1 + half])
    assert alphabet.quantize(at).tolist() == [1, -1, 0, 1, 2]
    assert alphabet.quantize(torch.tensor([1e9])).tolist() == [2**19]


def test_candidates_of_integers_go_towards_zero() -> None:
    for alphabet in (Integers(), Integers(zero=200)):
        x = residuals(50)
        nearest, second = alphabet.candidates(x)
        assert torch.equal(nearest, alphabet.quantize(x))
        assert torch.equal(second, nearest - nearest.sign())


def test_candidates_of_centers_are_the_two_nearest() -> None:
    alphabet = centers()
    x = torch.cat([residuals(200), torch.tensor([-9.0, 9.0, -2.0, 3.0])])
    distance = (x.unsqueeze(0) - alphabet.points.float().unsqueeze(1)).abs()
    order = distance.argsort(0)
    nearest, second = alphabet.candidates(x)
    assert torch.equal(nearest, order[0])
    inside = (x > POINTS[0]) & (x < POINTS[-1])
    # The neighbour on the other side of the residual, which need not be the second nearest.
    beside = torch.where(x > alphabet.points.float()[nearest], nearest + 1, nearest - 1)
    assert torch.equal(second[inside], beside[inside])
    assert int(second.min()) >= 0
    assert int(second.max()) < 5
    assert second[-4].item() == 0  # nothing lies beyond the outer points
    assert second[-3].item() == 4


def test_candidates_of_codewords_are_the_two_nearest() -> None:
    alphabet, x = codebook(), residuals(1, 6, 5)
    pairs = x.unflatten(1, (-1, 2)).movedim(2, -1)
    distance = (pairs.unsqueeze(-2) - alphabet.words.float()).square().sum(-1)
    expected = distance.argsort(-1).movedim(-1, 0)[:2]
    assert torch.equal(alphabet.candidates(x), expected)
    torch.testing.assert_close(
        squared_distances(x, alphabet.words.float()), distance.movedim(-1, 0)
    )


def test_blocks_of_groups_give_the_same_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    alphabet, sizes = Codebook.of(torch.randn(32, 2)), []
    xs = [residuals(2, 6, *space).double() for space in ((), (5,), (5, 3))]
    expected = [(alphabet.quantize(x), alphabet.candidates(x)) for x in xs]

    def spied(residual: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        found = squared_distances(residual, words)
        sizes.append(found.numel())
        return found

    monkeypatch.setattr("tngexp.quantizers.alphabets.squared_distances", spied)
    monkeypatch.setattr("tngexp.quantizers.alphabets._BLOCK", 7 * 32 * 2)
    for x, (nearest, two) in zip(xs, expected, strict=True):
        assert torch.equal(alphabet.quantize(x), nearest)
        assert torch.equal(alphabet.candidates(x), two)
        assert torch.equal(two[0], nearest)
    assert max(sizes) == 7 * 32


def test_cells_of_centers_end_at_their_edges() -> None:
    alphabet = centers()
    cells = alphabet.cells(torch.arange(5))
    inner = (alphabet.edges / 256).tolist()
    assert cells.lower.tolist() == pytest.approx([-1e4, *inner])
    assert cells.upper.tolist() == pytest.approx([*inner, 1e4])
    assert (cells.weight, cells.group) == (None, 0)


def test_cells_of_codewords_are_unit_cubes() -> None:
    alphabet = codebook()
    symbols = torch.tensor([[[0, 3], [2, 1]]])  # (1, 2, 2)
    cells = alphabet.cells(symbols)
    assert cells.group == 2
    assert cells.weight is not None
    assert cells.weight.shape == (4, 1, 2, 2)
    assert torch.equal(cells.weight.argmax(0), symbols)
    assert torch.equal(cells.weight.sum(0), torch.ones(1, 2, 2))
    assert cells.lower.shape == (4, 1, 2, 1)
    torch.testing.assert_close(cells.upper - cells.lower, torch.ones(4, 1, 2, 1))
    torch.testing.assert_close(
        ((cells.upper + cells.lower) / 2)[:, 0, :, 0], alphabet.words.float()
    )
    assert cubes(alphabet.words, 4)[0].shape == (4, 1, 2, 1, 1)


def test_what_was_learned_travels_and_must_fit() -> None:
    first, other = centers(), Centers.of(POINTS + 0.5)
    assert set(first.state()) == {"centers", "edges"}
    again = first.restored(other.state())
    assert torch.equal(again.points, other.points)
    assert torch.equal(again.edges, other.edges)
    with pytest.raises(ConfigError, match="has 3 centers where the quantizer has 5"):
        first.restored(Centers.of(POINTS[:3]).state())
    with pytest.raises(ConfigError, match="has 5 centers where the quantizer has 5"):
        first.restored({"centers": first.points, "edges": first.edges[:2]})
    words = codebook()
    assert set(words.state()) == {"codebook"}
    moved = Codebook.of(words.words + 1)
    assert torch.equal(words.restored(moved.state()).words, moved.words)
    with pytest.raises(
        ConfigError, match=r"codebook is \(2, 2\) where the quantizer's is \(4, 2\)"
    ):
        words.restored(Codebook.of(words.words[:2]).state())


def test_alphabets_do_not_change() -> None:
    for alphabet in (Integers(), centers(), codebook()):
        name = dataclasses.fields(alphabet)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(alphabet, name, None)


def test_widths_of_a_dead_zone_are_multiples_of_a_128th() -> None:
    assert DeadZone(1.25).alphabet() == Integers(zero=160)
    assert DeadZone(1.99).alphabet() == Integers(zero=255)
    assert DeadZone(0.01).alphabet() == Integers(zero=1)
    for width in (1.999, 0.001):
        with pytest.raises(ConfigError, match=r"between 0 and 2"):
            DeadZone(width)


def test_a_dead_zone_trains_on_what_it_evaluates() -> None:
    quantizer, x = DeadZone(1.5), residuals(1, 4, 6).requires_grad_()
    decoded, cells = quantizer.relax(x)
    expected = quantizer.hard(x.detach())
    torch.testing.assert_close(decoded.detach(), expected.decoded)
    torch.testing.assert_close(cells.lower.detach(), expected.cells.lower)
    torch.testing.assert_close(cells.upper.detach(), expected.cells.upper)
    (decoded.sum() + 2 * cells.lower.sum() + 4 * cells.upper.sum()).backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.full_like(x, 7.0))
