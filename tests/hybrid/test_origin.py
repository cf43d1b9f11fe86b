"""Quantizer steps that files tell: against other readers of them, and against decoded errors."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photos

from tngexp.anchors import Anchor, AnchorError
from tngexp.anchors.ffmpeg import ffmpeg_path, missing_encoder
from tngexp.anchors.intra import hevc, x265_for_bpg
from tngexp.anchors.pillow import avif, jpeg, jpeg444, webp
from tngexp.hybrid.formats.av1_tables import AC_STEPS
from tngexp.hybrid.formats.bits import BitReader
from tngexp.hybrid.origin import UnknownOriginError, is_deep, read_origin

X = np.ascontiguousarray(photos.astronaut()[20:90, 180:277])  # odd and even sides
NOISE = np.clip(np.random.default_rng(0).normal(128, 40, (128, 128, 1)), 0, 255)
NOISE = np.repeat(NOISE, 3, axis=2).astype(np.uint8)  # grey, so that luma alone has errors


@functools.cache
def encoded(codec: Callable[[], Anchor], setting: float, noise: bool = False) -> bytes:
    """A file of an anchor; skips the test where its program is absent."""
    anchor = codec()
    if line := anchor.missing():
        pytest.skip(line)
    return anchor.encode(NOISE if noise else X, setting)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("codec", "by_falling_step", "family", "subsampled"),
    [
        (jpeg, (1, 5, 20, 50, 75, 95), "jpeg", True),
        (jpeg444, (1, 5, 20, 50, 75, 95), "jpeg", False),
        (webp, (0, 5, 20, 50, 75, 95, 100), "webp", True),
        (avif, (5, 20, 45, 75, 95), "avif", False),
        (x265_for_bpg, (51, 40, 30, 20, 10), "bpg", False),
        (hevc, (51, 40, 30, 20, 10), "bpg", True),
    ],
)
def test_steps_fall_with_the_setting(
    codec: Callable[[], Anchor], by_falling_step: tuple[float, ...], family: str, subsampled: bool
) -> None:
    origins = [read_origin(encoded(codec, setting)) for setting in by_falling_step]
    for coarse, fine in itertools.pairwise(origins):
        assert coarse.luma_step > fine.luma_step
        assert coarse.chroma_step > fine.chroma_step
    assert {(origin.codec, origin.subsampled) for origin in origins} == {(family, subsampled)}


@pytest.mark.parametrize(
    ("codec", "setting", "tolerance"),
    [
        (avif, 50, 1.5),
        (avif, 90, 1.5),
        (webp, 50, 1.5),
        (webp, 85, 1.5),
        (x265_for_bpg, 22, 1.2),
        (x265_for_bpg, 34, 1.2),
        (hevc, 28, 1.2),
        # A mean of logarithms is below that of the squares of such different steps.
        (jpeg444, 75, 2.5),
        (jpeg444, 90, 2.5),
    ],
)
def test_errors_of_noise_have_the_variance_of_the_step(
    codec: Callable[[], Anchor], setting: float, tolerance: float
) -> None:
    """All coefficients of noise are large, so that their errors are uniform within a step."""
    data = encoded(codec, setting, noise=True)
    error = (codec().decode(data).astype(float) - NOISE).mean(2).var()
    step = read_origin(data).luma_step
    assert 1 / tolerance < error / (step**2 / 12) < tolerance


@pytest.mark.parametrize("quality", [10, 50, 92])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_steps_are_means_of_the_tables_that_pillow_reads(
    quality: int, progressive: bool
) -> None:
    data = saved(Image.fromarray(X), "JPEG", quality=quality, progressive=progressive)
    with Image.open(io.BytesIO(data)) as image:
        tables = image.quantization  # type: ignore[attr-defined]
    means = [np.exp(np.log(np.array(tables[number])[1:]).mean()) for number in (0, 1)]
    origin = read_origin(data)
    assert (origin.codec, origin.subsampled) == ("jpeg", True)
    assert [origin.luma_step, origin.chroma_step] == pytest.approx(means)


def test_every_ac_coefficient_counts_and_dc_does_not() -> None:
    """Table entries of 2^k: the mean exponent is that of the 63."""
    table = [255, *([2] * 31), *([4] * 32)]
    chroma = [1, *([8] * 63)]
    data = saved(Image.fromarray(X), "JPEG", qtables=[table, chroma], subsampling="4:2:2")
    assert math.log2(read_origin(data).luma_step) == pytest.approx((31 + 64) / 63)
    assert read_origin(data).chroma_step == pytest.approx(8)
    assert read_origin(data).subsampled


def test_jpeg_tables_of_16_bits_count_alike() -> None:
    data = saved(Image.fromarray(X), "JPEG", qtables=[[3] * 64, [5] * 64])
    wide = bytearray(data)
    start = data.index(b"\xff\xdb")
    assert data[start + 4 : start + 6] == b"\x00\x03"  # precision and number, first entry
    wide[start + 2 : start + 5 + 64] = b"\x00\x83\x10" + b"\x01\x03" * 64
    assert read_origin(bytes(wide)).luma_step == pytest.approx(0x103)
    assert read_origin(bytes(wide)).chroma_step == pytest.approx(5)


def test_grey_and_four_colours() -> None:
    grey = read_origin(saved(Image.fromarray(X).convert("L"), "JPEG", quality=50))
    colour = read_origin(saved(Image.fromarray(X), "JPEG", quality=50))
    assert grey == colour._replace(chroma_step=grey.luma_step, subsampled=False)
    cmyk = read_origin(saved(Image.fromarray(X).convert("CMYK"), "JPEG", quality=50))
    assert cmyk.luma_step == pytest.approx(colour.luma_step)
    # As a YCCK file: luma and chroma have tables of their own, and black is left out.
    tables = [[4] * 64, [16] * 64]
    rgb = saved(Image.fromarray(X), "JPEG", qtables=tables, subsampling=0)
    frame = rgb.index(b"\xff\xc0")
    ycck = (
        rgb[: frame + 2]
        + (8 + 3 * 4).to_bytes(2, "big")
        + rgb[frame + 4 : frame + 9]
        + b"\x04\x01\x11\x00\x02\x11\x01\x03\x11\x01\x04\x11\x00"
        + rgb[frame + 2 + 17 :]
    )
    origin = read_origin(ycck)
    assert [origin.luma_step, origin.chroma_step] == pytest.approx([4, 16])


def test_webp_in_the_extended_container_is_read_as_in_the_simple_one() -> None:
    simple = saved(Image.fromarray(X), "WEBP", quality=40, exif=b"")
    extended = saved(Image.fromarray(X), "WEBP", quality=40, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")
    assert b"VP8X" not in simple
    assert b"VP8X" in extended
    assert read_origin(simple) == read_origin(extended)


class BoolEncoder:
    """RFC 6386 §7.3 with one long number instead of bytes and carries."""

    def __init__(self) -> None:
        self.low, self.range, self.shifts = 0, 255, 0

    def bit(self, value: int, probability: int = 128) -> None:
        split = 1 + (((self.range - 1) * probability) >> 8)
        self.low += split if value else 0
        self.range = self.range - split if value else split
        while self.range < 128:
            self.low, self.range, self.shifts = self.low << 1, self.range << 1, self.shifts + 1

    def literal(self, value: int, bits: int) -> None:
        for position in reversed(range(bits)):
            self.bit(value >> position & 1)

    def optional(self, value: int, bits: int) -> None:
        self.bit(value != 0)
        if value:
            self.literal(abs(value), bits)
            self.bit(value < 0)

    def bytes(self) -> bytes:
        return (self.low << (-self.shifts % 8)).to_bytes((8 + self.shifts + 7) // 8, "big")


def webp_header(
    base: int, absolute: bool, quantizers: tuple[int, ...], tree: tuple[int, ...], uv: int
) -> bytes:
    """A WebP file that ends behind the quantizers; its segments' tree has these probabilities."""
    coder = BoolEncoder()
    coder.literal(0, 2)
    coder.bit(1)  # segments
    coder.literal(0b11, 2)  # with a map and numbers
    coder.bit(absolute)
    for quantizer in quantizers:
        coder.optional(quantizer, 7)
    for _ in range(4):
        coder.optional(-3, 6)
    for probability in tree:
        coder.bit(probability != 255)
        if probability != 255:
            coder.literal(probability, 8)
    coder.literal(0b0_101010_011, 10)  # loop filter
    coder.literal(0b11, 2)
    for delta in (1, 0, -2, 0, 0, 5, 0, 0):
        coder.optional(delta, 6)
    coder.literal(0, 2)
    coder.literal(base, 7)
    for delta in (1, -2, 0, 3, uv):
        coder.optional(delta, 4)
    coder.literal(0, 16)
    header = coder.bytes()
    tag = 0x10 | len(header) << 5  # a key frame that is shown
    frame = tag.to_bytes(3, "little") + b"\x9d\x01\x2a\x10\0\x10\0" + header
    chunk = b"VP8 " + len(frame).to_bytes(4, "little") + frame + bytes(len(frame) % 2)
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


@pytest.mark.parametrize("absolute", [True, False])
def test_webp_segments_count_by_their_share(absolute: bool) -> None:
    """Steps 4 + index up to index 54, 284 at the last one, half of it each."""
    indices = (10, 0, 40, 127)
    quantizers = indices if absolute else (-10, -25, 20, 127)  # limits are at both ends
    file = webp_header(20, absolute, quantizers, (153, 204, 51), 0)  # of 255: 0.6, 0.8, 0.2
    shares = (0.48, 0.12, 0.08, 0.32)
    expected = math.prod(step**share for step, share in zip((7, 2, 22, 142), shares, strict=True))
    origin = read_origin(file)
    assert [origin.luma_step, origin.chroma_step] == pytest.approx([expected, expected])


def test_webp_chroma_has_a_delta_of_its_own() -> None:
    origin = read_origin(webp_header(20, True, (30, 0, 0, 0), (255, 255, 255), -7))
    assert [origin.luma_step, origin.chroma_step] == pytest.approx([17, 13.5])


@pytest.mark.parametrize("codec", [x265_for_bpg, hevc])
def test_x265_codes_intra_pictures_at_a_fixed_distance_from_the_qp(
    codec: Callable[[], Anchor],
) -> None:
    """6 log2 of its ipratio of 1.4 is 2.9: intra pictures get a QP less by 3."""
    for qp in (3, 10, 27, 51):
        step = read_origin(encoded(codec, qp)).luma_step
        assert 4 + 6 * math.log2(step) == pytest.approx(qp - 3)


def test_chroma_of_420_has_the_qp_of_the_standards_table() -> None:
    fine = read_origin(encoded(hevc, 25))  # index 22: as luma
    coarse = read_origin(encoded(hevc, 46))  # index 43: QP 37
    assert fine.chroma_step == fine.luma_step
    assert 4 + 6 * math.log2(coarse.chroma_step) == pytest.approx(37)
    full = read_origin(encoded(x265_for_bpg, 46))
    assert full.chroma_step == full.luma_step


def test_avif_without_chroma_and_with_half_of_it() -> None:
    grey = read_origin(saved(Image.fromarray(X).convert("L"), "AVIF", quality=60))
    half = read_origin(saved(Image.fromarray(X), "AVIF", quality=60, subsampling="4:2:0"))
    assert grey == half._replace(chroma_step=grey.luma_step, subsampled=False)
    assert half.subsampled


def test_avif_with_alpha_tells_of_the_colours() -> None:
    image = Image.fromarray(X)
    opaque = read_origin(saved(image, "AVIF", quality=60))
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    assert read_origin(saved(image, "AVIF", quality=60)) == opaque


@pytest.mark.parametrize(("columns", "rows"), [(1, 0), (2, 1), (0, 2)])
def test_tiles_of_avif_do_not_hide_the_quantizer(columns: int, rows: int) -> None:
    image = Image.fromarray(np.tile(X, (5, 4, 1)))  # six by six superblocks of 64 pixels
    one = read_origin(saved(image, "AVIF", quality=50, speed=8, autotiling=False))
    options = {"autotiling": False, "tile_cols": columns, "tile_rows": rows}
    assert read_origin(saved(image, "AVIF", quality=50, speed=8, **options)) == one


def test_screen_content_is_read_as_photos_are() -> None:
    """Its tools add fields to the header, before the quantizer."""
    image = Image.fromarray(X)
    options: dict[str, Any] = {"quality": 50, "speed": 8}
    photo = read_origin(saved(image, "AVIF", **options, advanced={"enable-qm": "0"}))
    screen = {"enable-qm": "0", "tune-content": "screen"}
    assert read_origin(saved(image, "AVIF", **options, advanced=screen)) == photo


def with_aom(path: Path, *options: str) -> bytes:
    """The picture as an AVIF file by ffmpeg; skips the test where it is absent."""
    if line := missing_encoder("libaom-av1"):
        pytest.skip(line)
    arguments = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "97x70", "-i", "pipe:0"]
    arguments += ["-frames:v", "1", "-c:v", "libaom-av1", "-crf", "30", "-cpu-used", "6"]
    command = [str(ffmpeg_path()), "-loglevel", "error", *arguments, *options, "-f", "avif"]
    # The container wants to be written to a file.
    subprocess.run([*command, "-y", str(path)], input=X.tobytes(), check=True, timeout=100)
    return path.read_bytes()


def test_where_chroma_is_sampled_does_not_matter(tmp_path: Path) -> None:
    half = ("-pix_fmt", "yuv420p", "-aom-params", "enable-chroma-deltaq=1")
    unknown = with_aom(tmp_path / "a.avif", *half)
    position = ("-bsf:v", "av1_metadata=chroma_sample_position=colocated")
    known = with_aom(tmp_path / "b.avif", *half, *position)
    assert known != unknown
    assert read_origin(known) == read_origin(unknown)
    assert read_origin(known).chroma_step != read_origin(known).luma_step


def box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return (8 + len(content)).to_bytes(4, "big") + name + content


@pytest.mark.parametrize("long", [False, True])
def test_a_grid_tells_of_its_first_tile(long: bool) -> None:
    """Item 2 is a grid of item 1, whose bytes are within the box of metadata."""
    simple = encoded(avif, 45)
    coded = simple[simple.index(b"mdat") + 4 :]

    def number(item: int) -> bytes:
        return item.to_bytes(4 if long else 2, "big")

    versions = [
        bytes([version, 0, 0, 0]) for version in ((1, 2, 1, 3, 1) if long else (0, 1, 0, 2, 0))
    ]
    kinds = [
        box(b"infe", versions[3], number(item), b"\0\0", kind, b"\0")
        for item, kind in ((1, b"av01"), (2, b"grid"))
    ]
    extent = b"\0\1\0\0\0\4" + (len(coded)).to_bytes(4, "big")  # from the fifth byte on
    meta = [
        box(b"pitm", versions[0], number(2)),
        box(
            *(b"iloc", versions[1], b"\x44\0", number(2)),
            *(number(2), b"\0\1", b"\0\0", b"\0\1" + bytes(8)),
            *(number(1), b"\0\1", b"\0\0", extent),
        ),
        box(b"iinf", versions[2], number(2), *kinds),
        box(b"iref", versions[4], box(b"dimg", number(2), b"\0\1", number(1))),
        box(b"idat", b"grid", coded),
    ]
    grid = box(b"ftyp", b"avif\0\0\0\0avifmif1") + box(b"meta", bytes(4), *meta)
    assert read_origin(grid) == read_origin(simple)


def test_a_matrix_makes_steps_larger_but_not_those_of_the_finest() -> None:
    """A quality has one quantizer index by libavif; tunings differ in matrices and deltas."""
    flat = saved(Image.fromarray(NOISE), "AVIF", quality=60, advanced={"enable-qm": "0"})
    weighted = saved(
        Image.fromarray(NOISE),
        "AVIF",
        quality=60,
        advanced={"enable-qm": "1", "qm-min": "4", "qm-max": "4"},
    )
    assert read_origin(weighted).luma_step / read_origin(flat).luma_step == pytest.approx(2.12)


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv444p12le"])
def test_deep_avif_has_the_steps_of_8_bits(pixels: str, tmp_path: Path) -> None:
    """The encoder's CRF stands for nearly the same step at each depth."""
    files = [with_aom(tmp_path / "a.avif", "-pix_fmt", name) for name in (pixels, "yuv420p")]
    assert [is_deep(file) for file in files] == [True, False]
    deep, flat = map(read_origin, files)
    assert deep.subsampled == ("420" in pixels)
    assert 0.6 < deep.luma_step / flat.luma_step < 1.6


def test_tables_of_av1_meet_their_ends_and_each_other() -> None:
    ends = {8: (4, 1828), 10: (4, 7312), 12: (4, 29247)}
    for depth, steps in AC_STEPS.items():
        assert len(steps) == 256
        assert (steps[0], steps[-1]) == ends[depth]
        assert all(low < high for low, high in itertools.pairwise(steps))
    for index in range(160, 256):  # coarse steps of a depth are those of another, scaled
        assert AC_STEPS[10][index] / AC_STEPS[8][index] == pytest.approx(4, rel=0.02)
        assert AC_STEPS[12][index] / AC_STEPS[8][index] == pytest.approx(16, rel=0.02)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no image: there is not a byte"),
        (b"just text", "not a file of a known kind"),
        (saved(Image.fromarray(X), "PNG"), "a PNG image"),
        (saved(Image.fromarray(X), "GIF"), "a GIF image"),
        (saved(Image.fromarray(X), "TIFF"), "a TIFF image"),
        (saved(Image.fromarray(X), "BMP"), "a BMP image"),
        (saved(Image.fromarray(X), "JPEG2000"), "a JPEG 2000 image"),
        (b"\xff\x0a\x00\x00", "a JPEG XL image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
        (saved(Image.fromarray(X), "WEBP", lossless=True), "a WebP file that is lossless"),
        (
            saved(
                *(Image.fromarray(X), "WEBP"),
                save_all=True,
                append_images=[Image.fromarray(255 - X)],
            ),
            "a WebP file that is an animation",
        ),
        (
            saved(
                *(Image.fromarray(X), "AVIF"),
                save_all=True,
                append_images=[Image.fromarray(255 - X)],
            ),
            "an AVIF file that is an animation",
        ),
        (saved(Image.fromarray(X), "AVIF", quality=100, subsampling="4:4:4"), "that is lossless"),
        (saved(Image.fromarray(X), "JPEG")[:150], "a JPEG file .*that is cut short"),
        (saved(Image.fromarray(X), "WEBP")[:-30], "a WebP file that is cut short"),
        (saved(Image.fromarray(X), "AVIF")[:-30], "an AVIF file that is cut short"),
        (b"\xff\xd8\xff\xd9", "a JPEG file without a picture"),
    ],
)
def test_what_tells_no_step_is_said_in_a_line(data: bytes, message: str) -> None:
    with pytest.raises(UnknownOriginError, match=message) as caught:
        read_origin(data)
    assert "\n" not in str(caught.value)


def test_a_truncated_or_inter_coded_stream_is_refused() -> None:
    data = encoded(x265_for_bpg, 30)
    with pytest.raises(UnknownOriginError, match="an HEVC stream without a picture"):
        read_origin(data[:60])
    with pytest.raises(UnknownOriginError, match="does not begin with an intra picture"):
        read_origin(
            data.replace(b"\0\0\1\x28\1", b"\0\0\1\x02\1").replace(b"\0\0\1\x26\1", b"\0\0\1\x02\1")
        )


@functools.cache
def samples() -> list[bytes]:
    """A file of each kind, of programs that are there."""
    files = [encoded(jpeg, 50), encoded(webp, 50), encoded(avif, 50)]
    with contextlib.suppress(AnchorError):
        files.append(x265_for_bpg().encode(X, 30))
    return files


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(samples())))
    header = min(len(file), 700)
    for _ in range(data.draw(st.integers(0, 4))):
        file[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, header) | st.just(len(file)))
    try:
        origin = read_origin(bytes(file[:end]))
    except UnknownOriginError:
        return
    assert 0 < origin.luma_step < 2**16
    assert 0 < origin.chroma_step < 2**16


@given(st.lists(st.integers(0, 2**20), max_size=5))
def test_exp_golomb_codes_are_read_as_written(numbers: list[int]) -> None:
    bits = "".join("0" * ((n + 1).bit_length() - 1) + f"{n + 1:b}" for n in numbers)
    padded = bits + "0" * (-len(bits) % 8)
    reader = BitReader(bytes(int(padded[i : i + 8], 2) for i in range(0, len(padded), 8)), "it")
    assert [reader.ue() for _ in numbers] == numbers
