"""The ``.tng`` file: golden bytes, round trips, and what a hostile world may hand us."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngexp.coding import (
    BitstreamError,
    Container,
    fingerprint,
    index_to_quality,
    quality_to_index,
    read,
    write,
)
from tngexp.coding.container import MODES

PLAIN = Container(
    width=768,
    height=512,
    mode="RGB",
    model=bytes.fromhex("01020304"),
    streams=(b"zz", b"yyy"),
    symbols_checksum=0xBEEF,
    quality=128,
)
RICH = Container(
    width=7680,
    height=4320,
    mode="RGBA",
    model=bytes.fromhex("a0b0c0d0"),
    streams=(b"", b"one", b"two" * 100, b"", b"alpha"),
    symbols_checksum=0,
    tile=1024,
    overlap=64,
    icc=b"profile" * 30,
    orientation=6,
    model_name="tng-ß",
)
GOLDEN_PLAIN = "9e544e47012601020304808006800402" + "7a7a797979" + "efbe" + "00a22faa"
GOLDEN_RICH = (
    "9e544e47017ba0b0c0d0803ce02180084005e00101d20170726f66696c6570726f66696c6570726f66696c6570726f66"
    "696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f"
    "66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c657072"
    "6f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570"
    "726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c6570726f66696c650201060306746e"
    "672dc39f0003ac02006f6e6574776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f"
    "74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f"
    "74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f"
    "74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f"
    "74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f"
    "74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f74776f"
    "74776f74776f74776f74776f74776f74776f74776f74776f616c706861000011ed3cba"
)


def sealed(body: bytes) -> bytes:
    """A file with a valid checksum, whatever its contents."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def header(flags: int, rest: bytes) -> bytes:
    return sealed(b"\x9eTNG\x01" + bytes([flags]) + b"modl" + rest + b"\0\0")


def varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


containers = st.builds(
    Container,
    width=st.integers(1, 1 << 14),
    height=st.integers(1, 1 << 14),
    mode=st.sampled_from(MODES),
    model=st.binary(min_size=4, max_size=4),
    streams=st.lists(st.binary(max_size=200), min_size=1, max_size=6).map(tuple),
    symbols_checksum=st.integers(0, 0xFFFF),
    quality=st.none() | st.integers(0, 255),
    icc=st.none() | st.binary(max_size=50),
    orientation=st.none() | st.integers(1, 8),
    cicp=st.none() | st.binary(min_size=4, max_size=4),
    model_name=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
)


def test_golden_files():
    """Files written today are read for ever: change these only with the format version."""
    assert write(PLAIN).hex() == GOLDEN_PLAIN
    assert read(bytes.fromhex(GOLDEN_PLAIN)) == PLAIN
    assert write(RICH).hex() == GOLDEN_RICH
    assert read(bytes.fromhex(GOLDEN_RICH)) == RICH


def test_documentation_shows_the_golden_file():
    text = (Path(__file__).parents[2] / "docs" / "reference" / "bitstream.md").read_text(
        encoding="utf-8"
    )
    assert GOLDEN_PLAIN in text.replace(" ", "").replace("\n", "")


@given(containers)
def test_round_trip(container):
    assert read(write(container)) == container


def test_overhead_of_one_image_is_at_most_24_bytes():
    streams = (bytes((1 << 14) - 1), bytes(1 << 20))
    large = replace(PLAIN, width=16383, height=16383, streams=streams)
    assert len(write(large)) - sum(map(len, streams)) <= 24
    assert len(write(PLAIN)) - 5 == 22
    assert len(write(replace(PLAIN, quality=None))) - 5 == 21


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x9eT", "cut short"),
        (b"\x9eTNG\x01", "cut short"),
        (b"\xff\xd8\xff\xe0" + bytes(60), "JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "PNG"),
        (b"RIFF" + bytes(60), "RIFF"),
        (b"hello world, this is text", "not a .tng"),
        (b"\x9eTNG\x02" + bytes(60), "version 2"),
        (bytes.fromhex(GOLDEN_PLAIN)[:-1], "damaged or cut short"),
        (bytes.fromhex(GOLDEN_PLAIN) + b"\0", "damaged or cut short"),
        (header(0x82, b"\x01\x01"), "flag"),
        (header(0x02, varint(0) + varint(5)), "0×5"),
        (header(0x02, varint(5) + varint(0)), "5×0"),
        (header(0x02, varint(2**32 - 1) + varint(2**32 - 1)), "not possible"),
        (header(0x02, varint(2**20) + varint(2**20)), "exceeds the limit"),
        (header(0x02, b"\xff\xff\xff\xff\xff\xff\xff\x01" + b"\x01"), "malformed"),
        (header(0x02, b"\x81\x00" + b"\x01"), "malformed"),  # 1, spelt in two bytes
        (header(0x02, varint(300) + b"\xff"), "beyond the end"),
        (header(0x0A, varint(9) + varint(9) + varint(0) + varint(0)), "size zero"),
        (header(0x0A, varint(9) + varint(9) + varint(8) + varint(8)), "overlap"),
        (header(0x62, varint(9) + varint(9) + varint(0)), "0 streams"),
        (header(0x62, varint(9) + varint(9) + varint(2**32) + b"x"), "streams"),
        (header(0x22, varint(9) + varint(9) + varint(2**32) + b"x"), "beyond the end"),
        (header(0x12, varint(9) + varint(9) + varint(2**32) + b"x"), "beyond the end"),
        (header(0x12, varint(9) + varint(9) + varint(3) + b"\x01\x7fx"), "beyond the end"),
        (header(0x12, varint(9) + varint(9) + varint(4) + b"\x01\0\x01\0"), "twice"),
        (header(0x12, varint(9) + varint(9) + varint(3) + b"\x02\x01\x09"), "orientation"),
        (header(0x12, varint(9) + varint(9) + varint(2) + b"\x02\0"), "orientation"),
        (header(0x12, varint(9) + varint(9) + varint(5) + b"\x04\3abc"), "CICP"),
        (header(0x12, varint(9) + varint(9) + varint(3) + b"\x03\x01\xff"), "UTF-8"),
        (header(0x12, varint(9) + varint(9) + varint(2) + b"\x03\0"), "name"),
    ],
)
def test_foreign_and_hostile_files_are_refused_with_the_reason(data, message):
    with pytest.raises(BitstreamError, match=message):
        read(data)


def test_unknown_metadata_is_skipped():
    entry = b"\x7f" + varint(3) + b"new"
    container = read(header(0x12, varint(9) + varint(8) + varint(len(entry)) + entry + b"stream"))
    assert (container.width, container.height, container.streams) == (9, 8, (b"stream",))


def test_pixel_limit_is_the_callers():
    with pytest.raises(BitstreamError, match="limit of 1000"):
        read(write(PLAIN), max_pixels=1000)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"height": 1 << 32},
        {"mode": "CMYK"},
        {"model": b"abc"},
        {"streams": ()},
        {"symbols_checksum": 1 << 16},
        {"quality": 256},
        {"orientation": 0},
        {"cicp": b"abc"},
        {"model_name": ""},
        {"tile": 64, "overlap": 64},
    ],
)
def test_unreadable_files_are_not_written(change):
    with pytest.raises(ValueError, match=r".+"):
        write(replace(PLAIN, **change))


def test_every_truncation_is_an_error():
    for data in (write(PLAIN), write(RICH)):
        for length in range(len(data)):
            with pytest.raises(BitstreamError):
                read(data[:length])


@pytest.mark.parametrize("reseal", [False, True], ids=["as damaged", "with a valid checksum"])
def test_fuzz(reseal):
    """2,000 mutations each way end in a BitstreamError or in equal content, in little memory.

    With a valid checksum a mutation may also be another sound file; then it must survive a rewrite.
    """
    rng = np.random.default_rng(2024)
    originals = [write(PLAIN), write(RICH)]
    tracemalloc.start()
    began = time.perf_counter()
    for _ in range(2_000):
        data = mutate(rng, originals)
        if reseal:
            data = sealed(data[:-4])
        try:
            container = read(data)
        except BitstreamError:
            continue
        if reseal:
            assert read(write(container)) == container
        else:
            assert container in (PLAIN, RICH)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 20
    assert peak < 1 << 20


def mutate(rng, originals):
    data = bytearray(originals[rng.integers(len(originals))])
    kind = rng.integers(4)
    if kind == 0:
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del data[rng.integers(len(data)) :]
    elif kind == 2:  # splice
        other = originals[rng.integers(len(originals))]
        data[rng.integers(len(data)) :] = other[rng.integers(len(other)) :]
    else:
        at = int(rng.integers(min(len(data), 40)))  # the header
        data[at : at + int(rng.integers(4))] = rng.bytes(int(rng.integers(1, 8)))
    return bytes(data)


def test_quality_survives_its_byte():
    for index in range(256):
        assert quality_to_index(index_to_quality(index)) == index
    for bad in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match="quality"):
            quality_to_index(bad)


def test_fingerprint_sees_every_change_and_no_order():
    weights = {"a": np.zeros((2, 3), np.float32), "b": np.arange(4)}
    prints = {
        fingerprint(weights),
        fingerprint({**weights, "a": np.zeros((3, 2), np.float32)}),
        fingerprint({**weights, "a": np.zeros((2, 3), np.float64)}),
        fingerprint({**weights, "b": np.arange(4) + 1}),
        fingerprint({"a": weights["a"], "c": weights["b"]}),
    }
    assert len(prints) == 5
    assert fingerprint(dict(reversed(weights.items()))) == fingerprint(weights)
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in weights.items()}
    assert fingerprint(swapped) == fingerprint(weights)
