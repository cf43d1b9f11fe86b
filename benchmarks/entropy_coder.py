"""Speed and overhead of the entropy coder on one core, beside ``constriction``.

    python benchmarks/entropy_coder.py [--symbols 1000000] [--repeats 5]

Symbols are drawn from random mixtures; "over" compares the bytes with the float64 entropy under the
unquantized parameters. All coders of a block code the same symbols in the same process, in turns;
the best of the repeats counts. Quantizing the parameters is timed by itself ("quantize"), as
constriction takes floats. constriction (``pip install constriction``) is skipped where missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tngexp.coding import (
    Decoder,
    Encoder,
    build_tables,
    quantize_means,
    quantize_scales,
    quantize_weights,
)

Floats = NDArray[np.float64]


class Problem(NamedTuple):
    """Symbols and the mixtures they were drawn from."""

    symbols: NDArray[np.int32]  # (n,)
    scale: Floats  # (n, K)
    mean: Floats
    weight: Floats

    def masses(self, symbols: Floats) -> Floats:
        """P(symbol) of each element, for one symbol per element."""
        distance = np.abs(symbols[:, None] - self.mean)
        mass = ndtr((0.5 - distance) / self.scale) - ndtr((-0.5 - distance) / self.scale)
        return (self.weight * mass).sum(1)

    def bits(self) -> float:
        return float(-np.log2(self.masses(self.symbols)).sum())


class Timing(NamedTuple):
    """Best seconds of each side and the size."""

    encode_s: float
    decode_s: float
    size: int  # bytes


def draw(n: int, components: int, low: float, high: float) -> Problem:
    rng = np.random.default_rng(0)
    scale = np.exp(rng.uniform(np.log(low), np.log(high), (n, components)))
    mean = rng.normal(0, 1.0, (n, components)) * scale * (components > 1)
    weight = rng.dirichlet(np.ones(components), n)
    mean -= (mean * weight).sum(1, keepdims=True)
    pick = (rng.random((n, 1)) > weight.cumsum(1)[:, :-1]).sum(1)
    rows = np.arange(n)
    y = rng.normal(mean[rows, pick], scale[rows, pick])
    return Problem(np.rint(y).astype(np.int32), scale, mean, weight)


Coder = Callable[[], tuple[float, float, int]]


def ours(problem: Problem) -> Coder:
    parameters = (
        quantize_scales(problem.scale),
        quantize_means(problem.mean),
        quantize_weights(problem.weight),
    )

    def run() -> tuple[float, float, int]:
        began = time.perf_counter()
        encoder = Encoder()
        encoder.mixture(problem.symbols, *parameters)
        data = encoder.finish()
        middle = time.perf_counter()
        decoder = Decoder(data)
        symbols = decoder.mixture(*parameters)
        decoder.finish()
        ended = time.perf_counter()
        assert np.array_equal(symbols, problem.symbols)
        return middle - began, ended - middle, len(data)

    return run


def ours_tables(symbols: NDArray[np.int32], pmfs: list[Floats]) -> Coder:
    tables = build_tables(pmfs, [-(pmfs[0].size // 2)] * len(pmfs), 1e-9, 1e-9)
    channels = (np.arange(symbols.size) % len(pmfs)).astype(np.int32)

    def run() -> tuple[float, float, int]:
        began = time.perf_counter()
        encoder = Encoder()
        encoder.table(symbols, channels, tables)
        data = encoder.finish()
        middle = time.perf_counter()
        decoded = Decoder(data).table(channels, tables)
        ended = time.perf_counter()
        assert np.array_equal(decoded, symbols)
        return middle - began, ended - middle, len(data)

    return run


def constriction_gaussian(problem: Problem) -> Coder:
    import constriction

    reach = int(np.abs(problem.symbols).max()) + 1
    model = constriction.stream.model.QuantizedGaussian(-reach, reach)
    mean, scale = problem.mean[:, 0].copy(), problem.scale[:, 0].copy()

    def run() -> tuple[float, float, int]:
        began = time.perf_counter()
        encoder = constriction.stream.stack.AnsCoder()
        encoder.encode_reverse(problem.symbols, model, mean, scale)
        data = encoder.get_compressed()
        middle = time.perf_counter()
        symbols = constriction.stream.stack.AnsCoder(data).decode(model, mean, scale)
        ended = time.perf_counter()
        assert np.array_equal(symbols, problem.symbols)
        return middle - began, ended - middle, 4 * data.size

    return run


def constriction_mixture(problem: Problem) -> Coder:
    """It has no mixtures from Python: a categorical model per symbol, from pmfs made in numpy."""
    import constriction

    reach = int(np.abs(problem.symbols).max()) + 1
    alphabet = np.arange(-reach, reach + 1)
    model = constriction.stream.model.Categorical(perfect=False)

    def pmfs() -> NDArray[np.float32]:
        rows = [problem.masses(np.full(problem.symbols.size, s, np.float64)) for s in alphabet]
        return np.maximum(np.stack(rows, 1), 1e-12).astype(np.float32)

    def run() -> tuple[float, float, int]:
        began = time.perf_counter()
        encoder = constriction.stream.stack.AnsCoder()
        encoder.encode_reverse(problem.symbols + reach, model, pmfs())
        data = encoder.get_compressed()
        middle = time.perf_counter()
        symbols = constriction.stream.stack.AnsCoder(data).decode(model, pmfs())
        ended = time.perf_counter()
        assert np.array_equal(symbols - reach, problem.symbols)
        return middle - began, ended - middle, 4 * data.size

    return run


def race(coders: dict[str, Coder], repeats: int) -> dict[str, Timing]:
    """Run the coders in turns; keep each one's best times."""
    results: dict[str, list[tuple[float, float, int]]] = {name: [] for name in coders}
    for _ in range(repeats):
        for name, coder in coders.items():
            results[name].append(coder())
    return {
        name: Timing(min(r[0] for r in runs), min(r[1] for r in runs), runs[0][2])
        for name, runs in results.items()
    }


def report(title: str, n: int, bits: float, timings: dict[str, Timing]) -> None:
    for name, t in timings.items():
        over = t.size * 8 / bits - 1
        print(
            f"{title:<24} {name:<22} {n / t.encode_s / 1e6:8.2f} {n / t.decode_s / 1e6:8.2f}"
            f"   {bits / n:7.4f}   {over:+8.3%} ({t.size - bits / 8:+.0f} B)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--symbols", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    n, peer = args.symbols, find_spec("constriction") is not None
    print(f"{'model':<24} {'coder':<22} {'encode':>8} {'decode':>8}   {'bit/sym':>7}   over")
    print(f"{'':<24} {'':<22} {'Msym/s':>8} {'Msym/s':>8}")
    for components, low, high in (
        (1, 0.11, 0.18),
        (1, 0.3, 4.0),
        (3, 0.11, 0.2),
        (3, 0.11, 1.0),
        (3, 0.3, 4.0),
        (3, 10.0, 100.0),
    ):
        problem = draw(n, components, low, high)
        title = f"K={components}, σ {low} … {high}"
        coders = {"tngexp": ours(problem)}
        if peer and components == 1:
            coders["constriction Gaussian"] = constriction_gaussian(problem)
        report(title, n, problem.bits(), race(coders, args.repeats))
        if peer and components > 1 and high <= 4:
            small = Problem(*(field[: n // 50] for field in problem))
            few = {"tngexp": ours(small), "constriction Categ.": constriction_mixture(small)}
            report(title + ", n/50", n // 50, small.bits(), race(few, args.repeats))
    rng = np.random.default_rng(1)
    scales = np.geomspace(0.3, 6.0, 192)
    support = np.arange(-40, 41)
    pmfs = [ndtr((support + 0.5) / s) - ndtr((support - 0.5) / s) for s in scales]
    per_channel = [rng.choice(support, n // 192, p=p / p.sum()) for p in pmfs]
    symbols = np.stack(per_channel, 1).ravel().astype(np.int32)
    chosen = [p[s + 40] for p, s in zip(pmfs, per_channel, strict=True)]
    bits = float(-np.log2(np.concatenate(chosen)).sum())
    coders = {"tngexp": ours_tables(symbols, pmfs)}
    report("192 tables", symbols.size, bits, race(coders, args.repeats))
    problem = draw(n, 3, 0.11, 4.0)
    for name, quantize, values in (
        ("scales", quantize_scales, problem.scale),
        ("means", quantize_means, problem.mean),
        ("weights", quantize_weights, problem.weight),
    ):
        began = time.perf_counter()
        quantize(values)
        print(f"quantize {name} (K=3): {n / (time.perf_counter() - began) / 1e6:.1f} Msym/s")


if __name__ == "__main__":
    main()
