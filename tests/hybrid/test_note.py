"""The note in files: there, replaced, short, and invisible to who shows the picture."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photos

from tngexp.anchors import Anchor, AnchorError
from tngexp.anchors.intra import hevc, x265_for_bpg
from tngexp.anchors.pillow import avif, jpeg, jxl, webp
from tngexp.hybrid.formats.webp import WEBP
from tngexp.hybrid.note import Note, add_note, read_note
from tngexp.hybrid.origin import UnknownOriginError, find_format, is_deep, read_origin

X = np.ascontiguousarray(photos.astronaut()[20:90, 180:276])
ODD = np.ascontiguousarray(photos.astronaut()[20:61, 180:211])  # HEVC pads it
NOTE = Note(1920, 1080)
CODECS = [jpeg, webp, avif, x265_for_bpg, hevc]


@functools.cache
def encoded(codec: Callable[[], Anchor], odd: bool = False) -> bytes:
    """A file of an anchor; skips the test where its program is absent."""
    anchor = codec()
    if line := anchor.missing():
        pytest.skip(line)
    return anchor.encode(ODD if odd else X, 40)


def saved(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(X).save(file, kind, **options)
    return file.getvalue()


def bpg(extension: bytes | None = None, alpha: bool = False) -> bytes:
    """A BPG file by its specification around the units of an x265 stream.

    §3.1 of the specification: its header, then the parts of the sequence parameter set that vary.
    The stream's own set and that of the video are left out, as is the first start code.
    """
    stream = encoded(x265_for_bpg)
    first = b"\0\0\1\x44\1"  # the picture parameter set
    units = stream[stream.index(first) + 3 :]
    if alpha:  # coarser units of layer 1 before each of layer 0
        coarse = x265_for_bpg().encode(X, 50)
        other = coarse[coarse.index(first) + 3 :].replace(b"\0\0\1\x28\1", b"\0\0\1\x28\x09")
        units = b"\x44\x09" + other[2:] + b"\0\0\1" + units
    # Blocks of 8 to 64, transforms of 4 to 32, one level of depth less, SAO, strong smoothing.
    bits = "1" + "00100" + "1" + "00100" + "011" + "1" + "0" + "1" + "0"
    header = int(bits.ljust(24, "0"), 2).to_bytes(3, "big")
    header = bytes([len(header)]) + header
    data = (header if alpha else b"") + header + units
    flags = bytes([3 << 5 | alpha << 4, 8 if extension is not None else 0])
    sizes = b"\x60\x46\0"  # 96, 70, picture data up to the end
    block = b"" if extension is None else bytes([len(extension)]) + extension
    return b"BPG\xfb" + flags + sizes + block + data


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_the_note_is_there_and_the_picture_is_the_same(
    codec: Callable[[], Anchor], odd: bool
) -> None:
    plain = encoded(codec, odd)
    assert read_note(plain) is None
    noted = add_note(plain, NOTE)
    assert read_note(noted) == NOTE
    assert np.array_equal(codec().decode(noted), codec().decode(plain))
    assert read_origin(noted) == read_origin(plain)


@pytest.mark.parametrize(
    ("codec", "length", "marked"),
    [(jpeg, 12, 13), (webp, 12, 14), (avif, 16, 17), (x265_for_bpg, 14, 15), (hevc, 14, 15)],
)
def test_the_note_is_short(codec: Callable[[], Anchor], length: int, marked: int) -> None:
    plain = encoded(codec, odd=True)
    assert len(add_note(plain, NOTE)) - len(plain) == length
    assert len(add_note(plain, NOTE._replace(plain=True))) - len(plain) == marked


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_a_mark_does_not_outlive_the_steps_that_it_was_made_with(kind: str) -> None:
    """JPEG keeps it through Pillow; the others through editors that keep what they do not know."""
    note = NOTE._replace(plain=True)
    first, second = (saved(kind, quality=quality) for quality in (40, 20))
    format_ = find_format(first)
    assert format_ is not None
    content = format_.read_field(add_note(first, note))
    assert content is not None
    assert read_note(format_.write_field(first, content)) == note
    assert read_note(format_.write_field(second, content)) == NOTE


def test_a_mark_outlives_what_changes_no_step() -> None:
    noted = add_note(encoded(jpeg), NOTE._replace(plain=True))
    with Image.open(io.BytesIO(noted)) as image:
        again = io.BytesIO()
        image.save(again, "JPEG", quality="keep", progressive=True)
    assert read_note(again.getvalue()) == NOTE._replace(plain=True)


def test_a_lossless_file_can_be_marked_and_loses_the_mark_when_it_is_not() -> None:
    note = NOTE._replace(plain=True)
    noted = add_note(saved("WEBP", lossless=True), note)
    assert read_note(noted) == note
    content = WEBP.read_field(noted)
    assert content is not None
    assert read_note(WEBP.write_field(saved("WEBP"), content)) == NOTE


def test_marks_of_files_written_before_there_was_a_check_count() -> None:
    assert read_note(content_in_jpeg(b"\x05\x05")) == Note(2, 5, plain=True)


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_a_second_note_replaces_the_first(codec: Callable[[], Anchor], odd: bool) -> None:
    plain = encoded(codec, odd)
    second = Note(30, 70_000, plain=True)
    assert add_note(add_note(plain, NOTE), second) == add_note(plain, second)


@pytest.mark.parametrize(
    "data",
    [
        saved("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", progressive=True),
        saved("JPEG", comment="a comment of someone else"),
        saved("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
        saved("WEBP", lossless=True),
        saved("AVIF", subsampling="4:2:0"),
        saved("AVIF", icc_profile=b"\0" * 200),
    ],
)
def test_pillow_opens_files_with_a_note(data: bytes) -> None:
    noted = add_note(data, NOTE)
    assert read_note(noted) == NOTE
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(noted)) as after:
        assert after.tobytes() == before.tobytes()
        for key in ("exif", "icc_profile"):
            assert after.info.get(key) == before.info.get(key)


def test_segments_of_applications_stay_first_in_jpeg() -> None:
    """JFIF's segment has to follow SOI, Exif's too."""
    noted = add_note(encoded(jpeg), NOTE)
    assert noted[:4] == b"\xff\xd8\xff\xe0"
    assert noted.index(b"tnGn") > noted.index(b"JFIF")


def test_an_avif_box_up_to_the_end_gets_a_size() -> None:
    plain = encoded(avif)
    start = plain.index(b"mdat") - 4
    endless = plain[:start] + bytes(4) + plain[start + 4 :]
    assert np.array_equal(avif().decode(endless), avif().decode(plain))
    assert add_note(endless, NOTE) == add_note(plain, NOTE)


def test_a_note_in_the_middle_of_an_avif_file_moves_nothing() -> None:
    """Where another program has put something behind it."""
    noted = add_note(encoded(avif), NOTE) + b"\0\0\0\x0cskip1234"
    renoted = add_note(noted, Note(5, 6))
    assert read_note(renoted) == Note(5, 6)
    assert renoted.index(b"skip1234") == noted.index(b"skip1234")


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("extension", [None, b"", b"\x01\x03abc", b"\x81\x00\x02xy\x03\x00"])
def test_bpg_tells_the_qp_and_carries_the_note(extension: bytes | None, alpha: bool) -> None:
    file = bpg(extension, alpha)
    assert read_origin(file) == read_origin(encoded(x265_for_bpg))
    assert read_note(file) is None
    noted = add_note(file, NOTE)
    assert read_note(noted) == NOTE
    assert read_origin(noted) == read_origin(file)
    assert len(noted) - len(file) == 3 + 1 + 4 + (extension is None)
    assert (extension or b"") in noted
    second = Note(2, 3)
    assert add_note(noted, second) == add_note(file, second)


def test_an_animated_bpg_is_refused() -> None:
    file = bytearray(bpg())
    file[5] |= 1
    with pytest.raises(UnknownOriginError, match="a BPG file that is an animation"):
        read_origin(bytes(file))


@pytest.mark.parametrize("data", [b"", b"text", saved("PNG"), saved("GIF")])
def test_other_files_have_no_note_and_take_none(data: bytes) -> None:
    assert read_note(data) is None
    with pytest.raises(UnknownOriginError, match="a file of a kind that takes no note"):
        add_note(data, NOTE)


def test_jpeg_xl_takes_none() -> None:
    data = encoded(jxl)
    assert read_note(data) is None
    with pytest.raises(UnknownOriginError):
        add_note(data, NOTE)


@pytest.mark.parametrize("note", [Note(0, 5), Note(5, -1), Note(2**26, 5), Note(5, 2**26)])
def test_impossible_sides_are_refused(note: Note) -> None:
    with pytest.raises(ValueError, match="a picture of"):
        add_note(encoded(jpeg), note)


def content_in_jpeg(content: bytes) -> bytes:
    payload = b"tnGn" + content
    return b"\xff\xd8\xff\xfe" + (2 + len(payload)).to_bytes(2, "big") + payload + saved("JPEG")[2:]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x04",  # one number
        b"\x84\x04",
        b"\x04\x05\x06",  # a check where nothing is marked
        b"\x05\x05\x06\x07",  # four
        b"\x05\x05\x86\x01",  # a check of more than one byte
        b"\x01\x05",  # no width
        b"\x04\x00",  # no height
        b"\x84\x00\x05",  # longer than need be
        b"\x04\x05\x80",  # one that goes on
        b"\xff" * 10 + b"\x01\x05",  # too wide
    ],
)
def test_a_damaged_note_is_none(content: bytes) -> None:
    assert read_note(content_in_jpeg(content)) is None
    assert read_note(content_in_jpeg(b"\x04\x05")) == Note(2, 5)


@given(st.integers(1, 2**26 - 1), st.integers(1, 2**26 - 1), st.booleans())
def test_every_note_comes_back(width: int, height: int, plain: bool) -> None:
    note = Note(width, height, plain)
    data = add_note(SMALL, note)
    assert read_note(data) == note
    assert 0 not in data[data.index(b"tnGn") : data.index(b"\xff\xdb")]  # HEVC relies on it


SMALL = saved("JPEG")


@functools.cache
def samples() -> list[bytes]:
    """A file of each kind, of programs that are there, with a note."""
    files = [add_note(encoded(codec), NOTE) for codec in (jpeg, webp, avif)]
    with contextlib.suppress(AnchorError):
        files.append(add_note(hevc().encode(ODD, 30), NOTE))
        files.append(add_note(bpg(b"\x01\x03abc"), NOTE))
    return files


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(samples())))
    for _ in range(data.draw(st.integers(0, 4))):
        near_an_end = st.integers(0, min(400, len(file) - 1)) | st.integers(
            len(file) - 40, len(file) - 1
        )
        file[data.draw(near_an_end)] = data.draw(st.integers(0, 255))
    damaged = bytes(file[: data.draw(st.integers(0, len(file)) | st.just(len(file)))])
    for act in (read_origin, is_deep, read_note, lambda file: add_note(file, NOTE)):
        with contextlib.suppress(UnknownOriginError):
            act(damaged)
