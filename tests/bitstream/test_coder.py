"""Real files of small codecs: every triple, any size and mode, and nothing but the right image."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import checkpoint, codec_config, other_profile, photo

import tngexp
from tngexp.bitstream import CodingTables, ImageCodec, derive_tables
from tngexp.bitstream.images import pack_alpha, unpack_alpha
from tngexp.coding import BitstreamError, codebook_tables, read
from tngexp.datasets.sample import packaged_photos
from tngexp.model.codec import Codec
from tngexp.types import CheckpointError, ConfigError, TngexpError


def awake(codec: Codec) -> ImageCodec:
    """An untrained codec whose latents take several values."""
    with torch.no_grad():
        x = torch.from_numpy(np.array(photo(96, 64))).permute(2, 0, 1)[None] / 255
        last = [m for m in codec.transform.analysis.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        last.weight.mul_(3 / codec.transform.analysis(x).std())
    return ImageCodec(codec).eval()


@torch.no_grad()
def test_decoded_image_is_what_evaluation_mode_reconstructs() -> None:
    """Where no parameter network decides the rounding, file and forward agree to the pixel."""
    codec = awake(Codec.from_config(codec_config(prior="factorized")))
    image = photo(70, 90)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    expected = (codec(x).x_hat[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    assert (
        np.abs(np.asarray(codec.decompress(codec.compress(image))).astype(int) - expected).max()
        <= 1
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (64, 64), (65, 3)])
def test_any_size_comes_back(size: tuple[int, int], make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec(prior="gmm"))
    assert codec.decompress(codec.compress(photo(*size))).size == size


def modes() -> dict[str, Image.Image]:
    rgb = photo(40, 30)
    grey = rgb.convert("L")
    alpha = Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1)))
    rgba, la, palette = rgb.copy(), grey.copy(), rgb.convert("P")
    rgba.putalpha(alpha)
    la.putalpha(alpha)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return {
        "RGB": rgb,
        "L": grey,
        "RGBA": rgba,
        "LA": la,
        "P": palette,
        "1": grey.convert("1"),
        "CMYK": rgb.convert("CMYK"),
        "I;16": deep,
    }


COMES_BACK_AS = {"P": "RGB", "1": "L", "CMYK": "RGB", "I;16": "L"}


@pytest.mark.parametrize("mode", modes())
def test_every_mode_is_handled(mode: str, make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    image = modes()[mode]
    decoded = codec.decompress(codec.compress(image))
    assert decoded.mode == COMES_BACK_AS.get(mode, mode)
    if decoded.mode.endswith("A"):
        assert decoded.getchannel("A").tobytes() == image.getchannel("A").tobytes()


def test_sixteen_bits_are_scaled_not_clipped(make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    assert codec.compress(modes()["I;16"]) == codec.compress(modes()["L"])


def test_a_profile_that_says_srgb_is_not_stored(make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    image = photo(40, 30)
    bare = codec.compress(image)
    (found,) = packaged_photos([("skimage", "data/chelsea.png")])
    with Image.open(found.path) as chelsea:
        image.info["icc_profile"] = chelsea.info["icc_profile"]  # 3,144 bytes, by HP
    assert codec.compress(image) == bare
    image.info["icc_profile"] = other_profile()
    assert len(codec.compress(image)) > len(bare) + 300


@pytest.mark.parametrize("grey", [False, True])
def test_alpha_that_hides_nothing_costs_nothing(
    grey: bool, make_codec: Callable[..., Codec]
) -> None:
    codec = awake(make_codec())
    image = photo(40, 30).convert("L" if grey else "RGB")
    opaque = image.copy()
    opaque.putalpha(255)
    assert codec.compress(opaque) == codec.compress(image)


def test_colours_that_alpha_hides_do_not_matter(make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    seen = np.zeros((60, 80), np.uint8)
    seen[20:50, 30:70] = 255
    rgb = np.asarray(photo(80, 60))
    one, other = rgb.copy(), rgb.copy()
    other[seen == 0] = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)[seen == 0]
    images = [Image.fromarray(np.dstack([pixels, seen])) for pixels in (one, other)]
    first, second = (codec.compress(image) for image in images)
    assert first == second
    assert codec.compress(np.dstack([one, seen])) == first
    assert np.array_equal(codec.decompress(first).getchannel("A"), seen)
    kept = codec.compress(images[1], exact=True)
    assert len(kept) > len(first)
    assert len(codec.write(codec.analyse(images[1], exact=True))) == len(kept)


def test_a_cicp_mark_survives(make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    image = photo(40, 30)
    bare = codec.compress(image)
    image.info["cicp"] = bytes([12, 13, 0, 1])
    marked = codec.compress(image)
    assert len(marked) == len(bare) + 7
    assert codec.decompress(marked).info["cicp"] == bytes([12, 13, 0, 1])


def test_profile_and_orientation_survive(make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    image = photo(40, 30)
    image.info["icc_profile"] = other_profile()
    image.getexif()[0x0112] = 6
    decoded = codec.decompress(codec.compress(image))
    assert decoded.info["icc_profile"] == other_profile()
    assert decoded.getexif()[0x0112] == 6
    assert decoded.size == image.size


def test_tensors_and_pillow_images_give_the_same_file(make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    image = photo(40, 30)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    data = codec.compress(image)
    assert codec.compress(tensor) == data
    assert codec.compress(tensor.float()[None] / 255) == data
    assert codec.compress(np.asarray(image)) == data
    with pytest.raises(ConfigError, match="shape"):
        codec.compress(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ConfigError, match="0 … 1"):
        codec.compress(tensor.float())


def test_quality_belongs_to_variable_rate_codecs(make_codec: Callable[..., Codec]) -> None:
    fixed, variable = awake(make_codec()), awake(make_codec(rate="variable"))
    image = photo(64, 64)
    with pytest.raises(ConfigError, match="fixed rate"):
        fixed.compress(image, 0.5)
    with pytest.raises(ConfigError, match=r"0 … 1"):
        variable.compress(image, 1.5)
    small, large = variable.compress(image, 0.0), variable.compress(image, 1.0)
    assert len(small) < len(large)
    assert read(large).quality == 255
    assert variable.decompress(small).size == image.size


def test_a_small_file_spends_at_most_24_bytes_beyond_its_streams(
    make_codec: Callable[..., Codec],
) -> None:
    data = awake(make_codec(rate="variable")).compress(photo(300, 200))
    assert len(data) - sum(map(len, read(data).streams)) <= 24


def test_files_and_tables_travel_with_the_checkpoint(tmp_path: Path) -> None:
    codec = awake(Codec.from_config(codec_config(quantizer="soft_to_hard", prior="gmm")))
    path = checkpoint(codec, tmp_path / "codec.ckpt")
    loaded = tngexp.load(path)
    image = photo(50, 60)
    assert loaded.fingerprint() == codec.fingerprint()
    assert loaded.compress(image) == codec.compress(image)
    assert (
        loaded.decompress(codec.compress(image)).tobytes()
        == codec.decompress(codec.compress(image)).tobytes()
    )


def test_stored_tables_are_used_and_part_of_the_fingerprint(tmp_path: Path) -> None:
    codec = awake(Codec.from_config(codec_config()))
    other = derive_tables(awake(Codec.from_config(codec_config())).model)
    path = tmp_path / "codec.ckpt"
    checkpoint(codec, path, tables=other)
    loaded = tngexp.load(path)
    assert cdf(loaded.tables()) == cdf(other) != cdf(codec.tables())
    assert loaded.fingerprint() != codec.fingerprint()


def cdf(tables: CodingTables) -> list[int]:
    values: list[int] = tables.densities["z"].tables.cdf.tolist()
    return values


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_tables_of_other_weights_are_refused_and_can_be_renewed(
    suffix: str, tmp_path: Path
) -> None:
    codec = awake(Codec.from_config(codec_config(quantizer="soft_to_hard")))
    path = checkpoint(codec, tmp_path / f"codec.{suffix}")
    checkpoint_ = tngexp.io.read_checkpoint(path)
    checkpoint_["state_dict"]["codec.quantizer.log_gaps"].add_(0.3)
    torch.save(checkpoint_, tmp_path / "changed.ckpt")
    with pytest.raises(CheckpointError, match=r"changed\.ckpt: its coding tables.*fresh_tables"):
        tngexp.load(tmp_path / "changed.ckpt")
    renewed = tngexp.load(tmp_path / "changed.ckpt", fresh_tables=True)
    expected = renewed.model.quantizer.alphabet().points
    assert torch.equal(renewed.tables().alphabets["y"].points, expected)
    tngexp.io.save(renewed, tmp_path / "renewed.ckpt")
    assert tngexp.load(tmp_path / "renewed.ckpt").fingerprint() == renewed.fingerprint()


def test_a_fine_tuned_codec_codes_with_tables_of_its_new_weights(tmp_path: Path) -> None:
    image = photo(64, 64)
    for quantizer, prior in [("soft_to_hard", "gmm"), ("mixed", "factorized"), ("vq", "channel")]:
        path = tmp_path / f"{quantizer}.ckpt"
        checkpoint(awake(Codec.from_config(codec_config(quantizer=quantizer, prior=prior))), path)
        codec = tngexp.load(path)
        stored = codec.compress(image)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
        optimizer = torch.optim.Adam(codec.train().parameters(), lr=1e-3)
        for _ in range(3):
            output = codec(x)
            (output.bpp().mean() + (output.x_hat - x).square().mean()).backward()
            optimizer.step()
            optimizer.zero_grad()
        codec.eval()
        data = codec.compress(image)
        assert data != stored
        fresh = derive_tables(codec.model).to_state()
        assert all(torch.equal(t, fresh[name]) for name, t in codec.tables().to_state().items())
        tngexp.io.save(codec, tmp_path / "tuned.ckpt")
        again = tngexp.load(tmp_path / "tuned.ckpt")
        assert again.compress(image) == data
        assert again.decompress(data).tobytes() == codec.decompress(data).tobytes()


def test_tables_survive_their_state() -> None:
    codec = Codec.from_config(codec_config(quantizer="soft_to_hard", prior="factorized"))
    tables = derive_tables(codec)
    again = CodingTables.from_state(tables.to_state(), codec)
    first, second = tables.to_state(), again.to_state()
    assert first.keys() == second.keys() >= {"cdf", "begin", "offset", "location", "centers"}
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(ConfigError, match="damaged"):
        CodingTables.from_state({"cdf": torch.zeros(3, dtype=torch.int64)}, codec)


def test_changed_weights_make_a_new_model(make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    data = codec.compress(photo(64, 64))
    before = codec.fingerprint()
    with torch.no_grad():
        next(codec.model.transform.synthesis.parameters()).mul_(1.1)
    assert codec.fingerprint() != before
    with pytest.raises(BitstreamError, match="was coded with model"):
        codec.decompress(data)


def test_a_codec_in_training_does_not_code(make_codec: Callable[..., Codec]) -> None:
    with pytest.raises(ConfigError, match="eval"):
        ImageCodec(make_codec()).train().compress(photo(8, 8))


def test_a_diverged_codec_says_so(make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec())
    codec.prepare()
    with torch.no_grad():
        next(codec.model.transform.analysis.parameters()).fill_(float("nan"))
    with pytest.raises(TngexpError, match="finite"):
        codec.compress(photo(64, 64))


def resealed(data: bytes) -> bytes:
    """A damaged file whose CRC is right again, so that the damage reaches the decoder."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


@pytest.mark.parametrize("prior", ["factorized", "gmm", "context", "quadtree"])
def test_damaged_files_never_show_a_wrong_image(prior: str) -> None:
    codec = awake(Codec.from_config(codec_config("depthwise", "mixed", prior)))
    image = photo(70, 60)
    image.putalpha(128)
    data = codec.compress(image)
    right = codec.decompress(data).tobytes()
    rng = np.random.default_rng(7)
    for trial in range(500):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.integers(4, len(data) - 4))] ^= 1 << int(rng.integers(8))
        candidate = bytes(damaged) if trial % 4 == 0 else resealed(bytes(damaged))
        try:
            decoded = codec.decompress(candidate).tobytes()
        except BitstreamError:
            continue
        # A re-sealed header may say something else of the same symbols, say another width; no one
        # could notice. A changed stream must never pass.
        assert decoded == right or read(candidate).streams == read(data).streams


@pytest.mark.parametrize("length", range(0, 60))
def test_truncated_files_are_refused(length: int, make_codec: Callable[..., Codec]) -> None:
    codec = awake(make_codec(prior="factorized"))
    data = codec.compress(photo(64, 64))
    cut = data[: length * len(data) // 60]
    with pytest.raises(BitstreamError):
        codec.decompress(cut)
    if len(cut) > 20:
        with pytest.raises(BitstreamError):
            codec.decompress(resealed(cut))


def test_wrong_stream_counts_are_refused(make_codec: Callable[..., Codec]) -> None:
    import dataclasses

    from tngexp.coding import write

    codec = awake(make_codec())
    file = read(codec.compress(photo(64, 64)))
    twice = dataclasses.replace(file, streams=file.streams * 2)
    with pytest.raises(BitstreamError, match="streams"):
        codec.decompress(write(twice))
    huge = dataclasses.replace(file, width=1 << 14, height=1 << 14)
    with pytest.raises(BitstreamError, match="streams"):
        codec.decompress(write(huge))


def test_alpha_may_have_as_many_pixels_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than Pillow decodes of itself."""
    alpha = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    for limit in (400, 40):  # where Pillow warns, and where it refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert np.array_equal(unpack_alpha(pack_alpha(alpha), 30, 20), alpha)
        assert limit == Image.MAX_IMAGE_PIXELS
    with pytest.raises(BitstreamError, match="alpha plane cannot be decoded: the image is damaged"):
        unpack_alpha(pack_alpha(alpha)[:-200], 30, 20)


def test_an_image_larger_than_any_file_is_told_before_it_is_coded(
    make_codec: Callable[..., Codec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tngexp.bitstream.coder.analyse", None)
    with pytest.raises(ConfigError, match="of 1048577×1 pixels is not possible: scale it down"):
        ImageCodec(make_codec()).eval().compress(np.zeros((1, 2**20 + 1), np.uint8))


def test_progress_ends_with_one(make_codec: Callable[..., Codec]) -> None:
    codec, shares = ImageCodec(make_codec()).eval(), list[float]()
    data = codec.compress(photo(40, 30), progress=shares.append)
    assert (shares == sorted(shares), shares[-1]) == (True, 1)
    shares.clear()
    codec.decompress(data, progress=shares.append)
    assert (shares == sorted(shares), shares[-1]) == (True, 1)


def test_tables_of_codewords_are_made_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = awake(Codec.from_config(codec_config(quantizer="vq", prior="gmm")))
    data = codec.compress(photo(70, 60))
    expected, made = codec.decompress(data), []

    def tables(words: Any, scale: Any, *rest: Any, **options: Any) -> Any:
        made.append(len(scale))
        return codebook_tables(words, scale, *rest, **options)

    monkeypatch.setattr("tngexp.bitstream.laws.codebook_tables", tables)
    monkeypatch.setattr("tngexp.bitstream.laws._TABLE_ENTRIES", 32 * 7)  # of 32 words
    assert codec.compress(photo(70, 60)) == data
    assert codec.decompress(data) == expected
    assert max(made) == 7


def test_an_alpha_plane_must_fit(make_codec: Callable[..., Codec]) -> None:
    import dataclasses

    from tngexp.coding import write

    codec = awake(make_codec())
    image = photo(32, 32)
    image.putalpha(7)
    file = read(codec.compress(image))
    buffer = io.BytesIO()
    Image.new("L", (3000, 3000)).save(buffer, "PNG")
    for alpha in (b"nonsense", buffer.getvalue()):
        broken = dataclasses.replace(file, streams=(file.streams[0], alpha))
        with pytest.raises(BitstreamError, match="alpha"):
            codec.decompress(write(broken))
