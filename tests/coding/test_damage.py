"""Damaged streams are noticed, and what cannot be coded is refused."""

from __future__ import annotations

import numpy as np
import pytest
from coder_reference import encode, sample

from tngexp.coding import (
    BitstreamError,
    Decoder,
    Encoder,
    build_tables,
    quantize_means,
    quantize_scales,
    quantize_weights,
    symbols_checksum,
)

MAX = 1 << 20


def stream_and_parameters(n=300):
    rng = np.random.default_rng(5)
    symbols, scale, mean, weight = sample(rng, n, 3, 0.3, 3.0, 1.0)
    symbols[::50] = rng.integers(-MAX, MAX, symbols[::50].size)  # escapes
    parameters = quantize_scales(scale), quantize_means(mean), quantize_weights(weight)
    return symbols, parameters, encode(symbols, *parameters)


def test_every_truncation_is_noticed():
    _, parameters, data = stream_and_parameters(100)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            decode_all(data[:length], parameters)


def test_flipped_bits_give_an_error_or_symbols_in_range():
    """A flip inside an escaped value changes that value only; the container's CRC catches it."""
    _, parameters, data = stream_and_parameters()
    rng = np.random.default_rng(6)
    noticed = 0
    for bit in rng.choice(len(data) * 8, 500, replace=False):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        decoder = Decoder(bytes(damaged))
        try:
            symbols = decoder.mixture(*parameters)
            decoder.finish()
        except BitstreamError:
            noticed += 1
        else:
            assert np.abs(symbols).max() <= MAX
    assert noticed >= 400


def test_random_bytes_never_crash():
    rng = np.random.default_rng(7)
    parameters = stream_and_parameters(50)[1]
    tables = build_tables([[0.5, 0.5], [1.0]], [0, -1], 0.1, 0.2)
    for _ in range(500):
        data = rng.bytes(rng.integers(0, 60))
        with pytest.raises(BitstreamError):
            decode_all(data, parameters)
        with pytest.raises(BitstreamError):  # endless cheap symbols end with the bytes too
            decode_table(data, tables)


def decode_table(data, tables):
    decoder = Decoder(data)
    decoder.table(np.arange(1000) % 2, tables)
    decoder.finish()


def decode_all(data, parameters):
    decoder = Decoder(data)
    decoder.mixture(*parameters)
    decoder.finish()


def test_other_probabilities_are_noticed_at_the_end():
    _, (scale, mean, weight), data = stream_and_parameters(100)
    other = mean.copy()
    other[40, 0] += 1
    with pytest.raises(BitstreamError):
        decode_all(data, (scale, other, weight))


@pytest.mark.parametrize(
    ("symbols", "scale", "mean", "weight", "message"),
    [
        ([0.5], [3], None, None, "integers"),
        ([MAX + 1], [3], None, None, "beyond|within"),
        ([2**40], [3], None, None, "within"),
        ([0], [256], None, None, "fit"),
        ([0], [[3, 3]], None, None, "weights"),
        ([0], [[3, 3]], [[0, 0]], [[65536, 1]], "add up"),
        ([0], [[3, 3]], [[0, 0]], [[65537, -1]], "add up"),
        ([0], [3], [2**21], None, "lie within"),
        ([0], [3], [0, 0], None, "agree"),
        ([0, 0], [3], None, None, "distributions"),
    ],
)
def test_misuse_is_a_value_error(symbols, scale, mean, weight, message):
    with pytest.raises(ValueError, match=message):
        encode(np.array(symbols), np.array(scale), mean, weight)


def test_centers_and_channels_outside_their_alphabet_are_refused():
    with pytest.raises(ValueError, match="alphabet"):
        Encoder().centers([3], [-10, 10], np.array([5]))
    with pytest.raises(ValueError, match="channels exist"):
        Encoder().table([0], [1], build_tables([[1.0]], [0]))
    with pytest.raises(ValueError, match="ascending"):
        Encoder().centers([0], [10, -10], np.array([5]))


def test_checksum_depends_on_values_and_order_but_not_on_type():
    a, b = np.array([1, -2]), np.array([3])
    assert symbols_checksum([a, b]) == symbols_checksum([a.astype(np.int32), b])
    assert symbols_checksum([a, b]) == symbols_checksum([np.concatenate([a, b])])
    assert symbols_checksum([a, b]) != symbols_checksum([b, a])
