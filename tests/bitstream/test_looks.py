"""One file, two pictures, and everything between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from small_look import CHANNELS, Small, other_synthesis, small_look
from support import as_mode, checkpoint, photo, scaled_codec

from tngexp.bitstream import ImageCodec, streaming
from tngexp.bitstream.looks import check_look
from tngexp.bitstream.painting import drawn_field
from tngexp.coding import BitstreamError, read
from tngexp.io import load, save_look
from tngexp.transforms.noise import common_noise
from tngexp.types import CheckpointError, ConfigError

SIZE = 90, 70


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small_look(tmp_path_factory.mktemp("look"))


@pytest.fixture(scope="module")
def codec(small: Small) -> ImageCodec:
    return load(small.base, look=small.look)


@pytest.fixture(scope="module")
def data(codec: ImageCodec) -> bytes:
    return codec.compress(photo(*SIZE))


def pixels(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


def test_look_0_is_the_decoder_as_it_was(small: Small, codec: ImageCodec, data: bytes) -> None:
    alone = load(small.base)
    assert alone.look() is None
    assert alone.compress(photo(*SIZE)) == data
    codec.decompress(data, look=1)  # leaves no trace
    for picture in (codec.decompress(data), codec.decompress(data, look=0)):
        assert np.array_equal(pixels(picture), pixels(alone.decompress(data)))


@torch.no_grad()
def test_look_1_is_what_the_training_made(small: Small, codec: ImageCodec, data: bytes) -> None:
    """Worked out from the training's own weights, but for their half precision."""
    half = load(small.trained).model
    for part in (half.transform.synthesis, half.noise):
        assert part is not None
        for parameter in part.parameters():
            parameter.copy_(parameter.half())
    file = read(data)
    rows, columns = (-(-side // half.stride) * half.stride // 16 for side in SIZE[::-1])
    y_hat, _ = codec.prepare().latents.decode(file.streams[0], (16, rows, columns))
    assert half.noise is not None
    field = drawn_field(half.noise, file.streams, (rows, columns))
    noisy = half.rate.unscale(half.noise(y_hat, field), torch.tensor([128 / 255]))
    x_hat = half.transform.synthesis(noisy)[0, :, : SIZE[1], : SIZE[0]]
    expected = (x_hat.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    found = pixels(codec.decompress(data, look=1))
    assert np.abs(found - expected).max() <= 1  # a rounding on the fence
    assert (found != expected).mean() < 1e-3
    assert np.abs(found - pixels(codec.decompress(data))).mean() > 5


def test_a_training_is_a_codec_too_and_paints_the_same(
    small: Small, codec: ImageCodec, data: bytes
) -> None:
    trained = load(small.trained)
    own = trained.compress(photo(*SIZE))
    assert read(own).streams == read(data).streams
    assert read(own).model != read(data).model
    assert trained.fingerprint().hex() not in (codec.fingerprint().hex(), "")
    difference = pixels(trained.decompress(own)) - pixels(codec.decompress(data, look=1))
    assert np.abs(difference).max() <= 1  # half precision


def test_between_0_and_1_weights_are_mixed(small: Small, codec: ImageCodec) -> None:
    own = codec.model.transform.synthesis.state_dict()
    other = load_file(small.look)
    painters = codec.prepare().painters
    for share in (0.25, 0.5, 1.0):
        synthesis, noise = painters.at(share)
        for name, weight in synthesis.state_dict().items():
            mixed = (1 - share) * own[name] + share * other[f"synthesis.{name}"].float()
            torch.testing.assert_close(weight, mixed)
        assert noise is not None
        for name, weight in noise.state_dict().items():
            torch.testing.assert_close(weight, share * other[f"noise.{name}"].float())
    assert torch.equal(
        painters.at(1.0).synthesis.state_dict()["0.weight"], other["synthesis.0.weight"].float()
    )


def test_a_synthesis_is_made_once_a_look(codec: ImageCodec) -> None:
    painters = codec.prepare().painters
    assert painters.at(0.5) is painters.at(0.5)
    assert painters.at(0).synthesis is codec.model.transform.synthesis
    for share in np.linspace(0.1, 1, 20):
        painters.at(float(share))
    assert len(painters._made) <= 4


def test_new_weights_of_the_codec_are_another_codec(small: Small) -> None:
    codec = load(small.base, look=small.look)
    with torch.no_grad():
        codec.model.transform.synthesis[0].bias.add_(1)
    data = codec.compress(photo(*SIZE))
    codec.decompress(data)
    with pytest.raises(CheckpointError, match=r"a look for model \w{8}, and this is model"):
        codec.decompress(data, look=1)


@pytest.mark.parametrize("look", [0.5, 1])
def test_every_decoding_gives_the_same_picture(small: Small, data: bytes, look: float) -> None:
    torch.manual_seed(1)
    first = load(small.base, look=small.look).decompress(data, look=look)
    torch.manual_seed(2)
    torch.rand(3)
    second = load(small.base, look=small.look)
    second.decompress(data, look=1)
    assert np.array_equal(pixels(first), pixels(second.decompress(data, look=look)))


def test_the_noise_is_the_files_own(codec: ImageCodec) -> None:
    noise = codec.prepare().painters.at(1).noise
    assert noise is not None
    files = [read(codec.compress(photo(*size))) for size in (SIZE, (91, 70))]
    fields = [drawn_field(noise, file.streams, (5, 6)) for file in files]
    assert fields[0] is not None
    assert fields[1] is not None
    assert fields[0].shape == (1, CHANNELS, 5, 6)
    assert not torch.equal(fields[0], fields[1])
    assert drawn_field(None, files[0].streams, (5, 6)) is None
    # Where one stream ends counts, too.
    joined = [drawn_field(noise, streams, (2, 2)) for streams in ([b"ab", b"c"], [b"a", b"bc"])]
    assert joined[0] is not None
    assert joined[1] is not None
    assert not torch.equal(joined[0], joined[1])


def test_what_a_file_says_beside_its_picture_leaves_the_pixels_alone(codec: ImageCodec) -> None:
    plain, turned = photo(*SIZE), photo(*SIZE)
    turned.getexif()[0x0112] = 6
    files = [codec.compress(image) for image in (plain, turned)]
    assert files[0] != files[1]
    first, second = (codec.decompress(file, look=1) for file in files)
    assert np.array_equal(pixels(first), pixels(second))


def test_alpha_and_grey_go_along(codec: ImageCodec) -> None:
    image = as_mode("LA")
    back = codec.decompress(codec.compress(image), look=1)
    assert back.mode == "LA"
    assert np.array_equal(pixels(back)[..., 1], pixels(image)[..., 1])


def test_windows_paint_what_the_whole_image_would(
    codec: ImageCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.compress(photo(400, 340))
    whole = pixels(codec.decompress(data, look=1))
    monkeypatch.setattr(streaming, "_SIDE", 16)
    windows = list(streaming._windows(codec.model.transform, 24, 28))
    assert len(windows) > 4
    difference = np.abs(pixels(codec.decompress(data, look=1)) - whole)
    assert difference.max() <= 1  # a rounding on the fence
    assert (difference != 0).mean() < 1e-3
    # The noise matters: a field that began anew in each window would show.
    monkeypatch.setattr(
        "tngexp.bitstream.coder.drawn_field", lambda noise, streams, size: common_noise(3, 3, *size)
    )
    assert np.abs(pixels(codec.decompress(data, look=1)) - whole).mean() > 1


def test_a_look_without_noise(tmp_path: Path) -> None:
    small = small_look(tmp_path, channels=None)
    codec = load(small.base, look=small.look)
    data = codec.compress(photo(*SIZE))
    assert codec.prepare().painters.at(0.5).noise is None
    trained = load(small.trained)
    difference = pixels(codec.decompress(data, look=1)) - pixels(
        trained.decompress(trained.compress(photo(*SIZE)))
    )
    assert np.abs(difference).max() <= 1


@torch.no_grad()
@pytest.mark.parametrize("channels", [CHANNELS, None])
def test_a_look_of_a_codec_that_has_noise_itself(tmp_path: Path, channels: int | None) -> None:
    names = (tmp_path / "base.ckpt", tmp_path / "run.ckpt", tmp_path / "a.safetensors")
    base = other_synthesis(scaled_codec().model, CHANNELS, seed=1)
    checkpoint(base, names[0])
    checkpoint(other_synthesis(base, channels, seed=2), names[1])
    save_look(names[1], names[2], of=names[0])
    codec = load(names[0], look=names[2])
    assert base.noise is not None
    first = base.noise.state_dict()["projection.weight"]
    look = codec.look()
    assert look is not None
    last = 0 * first if look.noise is None else look.noise.state_dict()["projection.weight"]
    noise = codec.prepare().painters.at(0.25).noise
    assert noise is not None
    torch.testing.assert_close(noise.state_dict()["projection.weight"], 0.75 * first + 0.25 * last)
    data = codec.compress(photo(*SIZE))
    assert not np.array_equal(
        pixels(codec.decompress(data)), pixels(codec.decompress(data, look=1))
    )


@pytest.mark.parametrize("look", [-0.1, 1.01, float("nan"), "1", True, None])
def test_a_look_outside_of_0_to_1(codec: ImageCodec, data: bytes, look: float) -> None:
    with pytest.raises(ConfigError, match=r"^look must be a number in 0 … 1"):
        codec.decompress(data, look=look)
    assert check_look(1) == 1.0


def test_a_codec_without_a_look(small: Small, data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^look=0\.5: this codec has no look but its own, 0\. "):
        load(small.base).decompress(data, look=0.5)


def test_whose_file_it_is_goes_before_what_the_codec_lacks(small: Small, data: bytes) -> None:
    other = load(small.trained)
    with pytest.raises(BitstreamError, match=f"coded with model {read(data).model.hex()}"):
        other.decompress(data, look=1)
    with pytest.raises(ConfigError, match=r"^look must be a number"):
        other.decompress(data, look=2)


def test_a_look_for_another_model(small: Small) -> None:
    with pytest.raises(CheckpointError, match=r"^.*a\.safetensors: a look for model") as caught:
        load(small.trained, look=small.look)
    for path in (small.base, small.trained):
        assert load(path).fingerprint().hex() in str(caught.value)
