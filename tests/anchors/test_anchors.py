from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from PIL import features
from support import photo

from tngexp.anchors import ANCHORS, Anchor, AnchorError, anchor
from tngexp.anchors.base import Pixels
from tngexp.types import ConfigError


def usable(*names: str) -> list:
    """Parameters that are skipped, with the reason, where a codec is missing."""
    lines = {name: anchor(name).missing() for name in names}
    skip = pytest.mark.skipif
    return [
        pytest.param(n, marks=[skip(line is not None, reason=str(line))])
        for n, line in lines.items()
    ]


ALL = usable(*ANCHORS)
VIDEO = usable("bpg", "hevc", "vvc")


def pixels(width: int, height: int) -> Pixels:
    return np.asarray(photo(width, height))


def finest(codec: Anchor) -> float:
    """The end of the range that its settings run towards."""
    rising = codec.settings[-1] > codec.settings[0]
    return codec.parameter.highest if rising else codec.parameter.lowest


def psnr(x: Pixels, y: Pixels) -> float:
    error = np.mean((x.astype(float) - y) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (16, 16), (19, 17), (50, 33)])
@pytest.mark.parametrize("name", ALL)
def test_any_size_comes_back_close(name: str, size: tuple[int, int]) -> None:
    codec = anchor(name)
    x = pixels(*size)
    y = codec.decode(codec.encode(x, finest(codec)))
    assert y.shape == x.shape
    assert y.dtype == np.uint8
    assert psnr(x, y) > 34


@pytest.mark.parametrize("name", ALL)
def test_rate_and_quality_rise_along_the_settings(name: str) -> None:
    codec = anchor(name)
    x = pixels(96, 80)
    files = [codec.encode(x, codec.settings[i]) for i in (3, 6, 9)]
    sizes = [len(file) for file in files]
    qualities = [psnr(x, codec.decode(file)) for file in files]
    assert sizes == sorted(set(sizes))
    assert qualities == sorted(set(qualities))


@pytest.mark.parametrize("name", ALL)
def test_grey_stays_grey_and_keeps_its_level(name: str) -> None:
    codec = anchor(name)
    ramp = np.linspace(0, 255, 64).round().astype(np.uint8)
    x = np.broadcast_to(ramp[None, :, None], (32, 64, 3)).copy()
    y = codec.decode(codec.encode(x, finest(codec))).astype(int)
    assert np.ptp(y, axis=2).max() <= 3
    assert np.abs((y - x).mean((0, 1))).max() < 0.5


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (90, 90, 90)]
)
def test_plain_colours_survive(name: str, colour: tuple[int, int, int]) -> None:
    codec = anchor(name)
    x = np.full((24, 24, 3), colour, np.uint8)
    y = codec.decode(codec.encode(x, finest(codec)))
    assert np.abs(y.astype(int) - x).max() <= 5  # JPEG XL is worst at this


@pytest.mark.parametrize("name", ALL)
def test_coding_is_repeatable(name: str) -> None:
    x = pixels(50, 33)
    setting = anchor(name).settings[5]
    first, second = (anchor(name).encode(x, setting) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ANCHORS)
@pytest.mark.parametrize("setting", [-1, 1e9, float("nan"), "30", True])
def test_a_setting_out_of_range_is_explained(name: str, setting: object) -> None:
    codec = anchor(name)
    with pytest.raises(ConfigError, match=rf"^{name}: .* must be .* in \d+ … \d+, not "):
        codec.encode(pixels(8, 8), setting)  # type: ignore[arg-type]


def test_a_fraction_is_refused_where_whole_numbers_count() -> None:
    with pytest.raises(
        ConfigError, match=r"jpeg: quality must be a whole number in 1 … 95, not 2\.5"
    ):
        anchor("jpeg").encode(pixels(8, 8), 2.5)
    anchor("jpeg2000").parameter.check(2.5, "jpeg2000")


@pytest.mark.parametrize("name", ANCHORS)
def test_settings_are_ten_distinct_valid_ones(name: str) -> None:
    codec = anchor(name)
    assert len(set(codec.settings)) == 10
    for setting in codec.settings:
        codec.parameter.check(setting, name)
        assert codec.describe(setting).endswith(f" {setting:g}")


@pytest.mark.parametrize("name", ALL)
def test_damaged_files_are_refused(name: str) -> None:
    with pytest.raises(AnchorError, match=r"cannot decode|failed"):
        anchor(name).decode(b"no picture at all" * 10)


@pytest.mark.parametrize("name", ALL)
def test_versions_are_exact(name: str) -> None:
    assert re.search(r"\d+\.\d+", anchor(name).version().rpartition(" ")[2])


@pytest.mark.parametrize("name", ANCHORS)
def test_anchors_can_be_sent_to_other_processes(name: str) -> None:
    codec = anchor(name)
    copy = pickle.loads(pickle.dumps(codec))
    assert copy == codec
    assert copy.name == name
    assert copy.how == codec.how


def test_names_and_labels_are_unique() -> None:
    codecs = [make() for make in ANCHORS.values()]
    assert len({codec.label for codec in codecs}) == len(ANCHORS)
    assert len({(codec.how, codec.label) for codec in codecs}) == len(ANCHORS)


def test_an_unknown_name_is_explained() -> None:
    with pytest.raises(
        ConfigError, match=r"no anchor called 'jpeg20000'\. Did you mean 'jpeg2000'"
    ):
        anchor("jpeg20000")


def test_other_arrays_than_pixels_are_refused() -> None:
    with pytest.raises(TypeError, match="uint8"):
        anchor("jpeg").encode(np.zeros((4, 4, 3), np.float32), 30)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"\(H, W, 3\)"):
        anchor("jpeg").encode(np.zeros((4, 4), np.uint8), 30)


def test_what_pillow_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    assert anchor("jpeg").missing() is None
    line = anchor("avif").missing()
    assert line == "AVIF 4:4:4 is missing in this Pillow: pip install --upgrade pillow"
    with pytest.raises(AnchorError, match="pip install --upgrade pillow"):
        anchor("avif").encode(pixels(8, 8), 30)


def test_the_jpeg_xl_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert anchor("jxl").missing() == "JPEG XL is missing: pip install pillow-jxl-plugin"
    with pytest.raises(AnchorError, match="pip install pillow-jxl-plugin"):
        anchor("jxl").version()


@pytest.mark.parametrize("name", VIDEO)
def test_streams_hold_parameters_and_one_picture_only(name: str) -> None:
    codec = anchor(name)
    if codec.extension == ".bpg":
        pytest.skip("bpgenc writes no raw stream")
    stream = codec.encode(pixels(64, 48), codec.settings[-1])
    headers = [stream[m.end() : m.end() + 2] for m in re.finditer(rb"\x00\x00\x01", stream)]
    if name == "vvc":  # SPS, PPS, adaptation parameters, picture
        kinds, allowed = [h[1] >> 3 for h in headers], {15, 16, 17, 7, 8, 9}
        pictures = [kind for kind in kinds if kind <= 10]
    else:  # VPS, SPS, PPS, picture
        kinds, allowed = [h[0] >> 1 & 63 for h in headers], {32, 33, 34, 19, 20, 21}
        pictures = [kind for kind in kinds if kind < 32]
    assert set(kinds) <= allowed
    assert len(pictures) == 1


@pytest.mark.parametrize("name", VIDEO)
def test_padding_costs_eight_bytes_and_only_where_there_is_some(name: str) -> None:
    codec = anchor(name)
    if codec.extension == ".bpg":
        pytest.skip("BPG pads by itself")
    x = pixels(63, 47)
    odd, even = codec.encode(x, 30), codec.encode(x[:46, :62], 30)
    mark = codec.application_nal  # type: ignore[attr-defined]
    assert mark not in even
    assert (odd[-8:] == mark + b"\1\1\x80") == codec.halve_chroma  # type: ignore[attr-defined]
    assert codec.encode(x[:3, :5], 30)[-8:] == mark + bytes([29, 27, 128])
    assert np.array_equal(codec.decode(odd), codec.decode(odd)[:47, :63])
