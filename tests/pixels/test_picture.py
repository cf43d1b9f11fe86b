"""Arrays, tensors and images of the same pixels are the same picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from support import photo

from tngexp.pixels import to_picture
from tngexp.types import ConfigError

RGB = np.asarray(photo(20, 14))  # (14, 20, 3)


def rgb_of(image: object) -> np.ndarray:
    return to_picture(image).rgb.permute(1, 2, 0).numpy()  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "f2", "f4", "f8"])
def test_numbers_of_every_type(dtype: str) -> None:
    white = {"u": 257, "f": 1 / 255}[np.dtype(dtype).kind] if dtype != "u1" else 1
    values = (RGB.astype(np.float64) * white).astype(dtype)
    np.testing.assert_array_equal(rgb_of(values), RGB)
    native = torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))
    np.testing.assert_array_equal(rgb_of(native.permute(2, 0, 1)), RGB)


def test_bfloat16_and_truth_values() -> None:
    x = torch.ones(1, 3, 4, 5, dtype=torch.bfloat16, requires_grad=True)
    assert rgb_of(x).min() == 255
    assert (
        rgb_of(torch.eye(4, dtype=torch.bool)[None])[..., 0].tolist() == (np.eye(4) * 255).tolist()
    )


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_channels_of_arrays(channels: int, mode: str) -> None:
    array = np.random.default_rng(0).integers(1, 255, (6, 9, channels), np.uint8)
    picture = to_picture(array)
    assert picture.mode == mode
    assert picture.rgb.shape == (3, 6, 9)
    if channels in (2, 4):
        np.testing.assert_array_equal(picture.alpha, array[..., -1])
    if channels == 1:
        assert torch.equal(to_picture(array[..., 0]).rgb, picture.rgb)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 4), 84.0), "0 … 1.*84.*255"),  # 0 … 255
        (np.full((4, 4, 3), -0.4, np.float32), "0 … 1"),  # normalised
        (np.full((4, 4), 1.003), "0 … 1"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), 84), "int64"),
        (np.full((4, 4), -3, np.int16), "int16"),
        (np.zeros((4, 4), np.uint32), "uint32"),
        (np.zeros((4, 4), np.complex64), "complex64"),
        (np.zeros((3, 9, 9), np.uint8), "channels last"),
        (np.zeros((0, 9, 3), np.uint8), "shape"),
        (torch.full((3, 4, 4), 17.0), "0 … 1"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "int32"),
        (torch.zeros(4, 8, 8), "shape"),
        ([[1, 2]], "not list"),
    ],
)
def test_no_white_is_guessed(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_picture(values)  # type: ignore[arg-type]


def test_what_rounds_to_a_level_is_in_range() -> None:
    assert rgb_of(np.array([[1 + 1e-6, -1e-6]])).tolist() == [[[255] * 3, [0] * 3]]


def test_a_picture_shares_no_memory_with_its_source() -> None:
    array = RGB.copy()
    picture = to_picture(array)
    array[:] = 0
    np.testing.assert_array_equal(picture.rgb.permute(1, 2, 0), RGB)
    assert to_picture(picture) is picture


@pytest.mark.parametrize("exact", [False, True])
def test_hidden_colours_stay_only_if_asked(exact: bool) -> None:
    alpha = np.zeros((14, 20), np.uint8)
    alpha[3:9, 4:12] = 1  # hardly visible is visible
    for image in (np.dstack([RGB, alpha]), Image.fromarray(np.dstack([RGB, alpha]))):
        kept = to_picture(image, exact).rgb.permute(1, 2, 0).numpy() == RGB
        assert kept[alpha > 0].all()
        assert kept.all() == exact


def test_a_tiff_is_turned_once(tmp_path: object) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, shape, left in (("tif", (3, 20, 14), None), ("png", (3, 14, 20), 6)):
        path = f"{tmp_path}/a.{kind}"
        Image.fromarray(RGB).save(path, exif=exif)
        with Image.open(path) as image:  # not yet decoded
            picture = to_picture(image)
        assert (picture.rgb.shape, picture.orientation) == (shape, left)
