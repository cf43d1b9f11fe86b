"""The shipped codecs: pinned, small, and better than what everybody has."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tngexp
from tngexp import zoo
from tngexp.bitstream.effort import tuning_of
from tngexp.bitstream.targets import compress_to
from tngexp.cli.main import main
from tngexp.coding import read
from tngexp.datasets.sample import packaged_photos
from tngexp.evaluation import load_models
from tngexp.hybrid.model import load_hybrid
from tngexp.losses import MixedLoss
from tngexp.metrics import ms_ssim, psnr

ALL = [*zoo.MODELS, *zoo.EARLIER]
PHOTO = ("skimage", "data/chelsea.png")  # held out of every training
MIB = 2**20
CARDS = Path(__file__).parents[1] / "docs" / "models"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    (found,) = packaged_photos([PHOTO])
    return Image.open(found.path).convert("RGB")


def tensor(image: Image.Image) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).unsqueeze(0).float() / 255


def test_the_default_is_shipped() -> None:
    assert zoo.DEFAULT in zoo.MODELS


def test_the_package_stays_small() -> None:
    """Package indexes take files of up to 100 MB, earlier generations included."""
    files = list(zoo.file_of(zoo.DEFAULT).parent.glob("*.safetensors"))
    pinned = {*ALL, *zoo.NETWORKS, *(f"{name}.look" for name in zoo.LOOKS)}
    assert {file.stem for file in files} == pinned  # nothing ships that nobody can ask for
    assert sum(file.stat().st_size for file in files) <= 64 * MIB


def test_an_earlier_generation_has_the_name_of_the_newest_and_a_number() -> None:
    for name in zoo.EARLIER:
        newest, _, number = name.rpartition("-")
        assert newest in zoo.MODELS
        assert int(number) >= 1
        assert zoo.generations(newest).count(name) == 1
    for given in (zoo.DEFAULT, *zoo.EARLIER, "mine.ckpt", "tng"):
        assert zoo.generations(given)[0] == given
    assert zoo.generations("tng") == ["tng"]  # a beginning is not the name
    pins = [zoo.codec(name) for name in ALL]
    assert len({pin.fingerprint for pin in pins}) == len({pin.sha256 for pin in pins}) == len(ALL)
    for name, pin in zip(ALL, pins, strict=True):
        assert zoo.name_of(bytes.fromhex(pin.fingerprint)) == name
    assert zoo.name_of(bytes(4)) is None


@pytest.mark.parametrize("name", ALL)
def test_a_model_is_what_was_pinned(name: str) -> None:
    assert zoo.path(name).stat().st_size <= 14 * MIB
    codec = tngexp.load(name)
    assert codec.fingerprint().hex() == zoo.codec(name).fingerprint
    assert codec._stored is not None  # shipped, not derived anew on each machine
    assert (CARDS / f"{name}.md").is_file()


@pytest.mark.parametrize("name", ALL)
def test_a_search_is_for_what_the_card_says(name: str) -> None:
    card = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    (trained_for,) = re.findall(r"^\| loss \| rate \+ λ·(.*), λ from", card, re.MULTILINE)
    tuning = tuning_of(tngexp.load(name).model.objective, 0.5, None)
    words = {"mse": "255²·MSE", "msssim": "(1 − MS-SSIM)"}
    if isinstance(tuning.loss, MixedLoss):
        weights = tuning.loss.msssim_weight, f"{tuning.loss.mse_weight:f}".rstrip("0")
        words["mixed"] = "({}·(1 − MS-SSIM) + {}·255²·MSE)".format(*weights)
    assert trained_for == words[tuning.name]


def test_looks_are_what_was_pinned_and_fit(photo: Image.Image) -> None:
    assert zoo.LOOKS.keys() <= set(ALL)
    for name in zoo.LOOKS:
        assert zoo.look_path(name).stat().st_size <= 6_000_000
        codec = tngexp.load(name)
        data = codec.compress(photo, 0.2)
        pictures = [np.asarray(codec.decompress(data, look=look)) for look in (0, 1)]
        assert not np.array_equal(*pictures)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_a_network_is_what_was_pinned(name: str, photo: Image.Image) -> None:
    assert zoo.path(name).stat().st_size <= 2_000_000
    network = load_hybrid(name)
    assert network.config is not None
    assert (CARDS / f"{name}.md").is_file()
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=15)
    x = np.asarray(photo).astype(float)
    before = np.asarray(Image.open(buffer).convert("RGB")).astype(float)
    after = np.asarray(tngexp.restore(buffer.getvalue(), name)).astype(float)
    gain = 10 * np.log10(((before - x) ** 2).mean() / ((after - x) ** 2).mean())
    assert gain > 0.4  # dB


def test_the_default_network_is_shipped(photo: Image.Image) -> None:
    assert zoo.DEFAULT_NETWORK in zoo.NETWORKS
    assert tngexp.restore(photo).size == photo.size


@pytest.mark.parametrize("name", ALL)
def test_programs_take_it_by_name(name: str) -> None:
    (model,) = load_models([name])
    assert model.path == zoo.path(name)
    assert model.curve == name
    assert model.key.model == zoo.codec(name).fingerprint


def test_generations_are_curves_of_their_own() -> None:
    assert [model.curve for model in load_models(ALL)] == ALL


@pytest.mark.parametrize("name", ALL)
def test_a_file_comes_back_and_names_its_model(name: str, photo: Image.Image) -> None:
    codec = tngexp.load(name)
    data = codec.compress(photo, 0.3)
    assert zoo.name_of(read(data).model) == name
    again = tngexp.load(name)
    assert again.compress(photo, 0.3) == data
    first, second = codec.decompress(data), again.decompress(data)
    assert first.size == photo.size
    assert np.array_equal(np.array(first), np.array(second))


@pytest.mark.parametrize("name", zoo.MODELS)
def test_quality_rises_with_the_rate(name: str, photo: Image.Image) -> None:
    codec = tngexp.load(name)
    x = tensor(photo)
    metric = psnr if zoo.codec(name).trained_for == "PSNR" else ms_ssim
    sizes, values = [], []
    for quality in (0.0, 0.25, 0.5, 0.75, 1.0):
        data = codec.compress(photo, quality)
        sizes.append(len(data))
        values.append(float(metric(x, tensor(codec.decompress(data)))))
    assert sizes == sorted(sizes)
    assert values == sorted(values)


@pytest.mark.parametrize("name", zoo.MODELS)
@torch.no_grad()
def test_the_estimate_is_the_size_of_the_file(name: str, photo: Image.Image) -> None:
    """Within 0.3 % and 32 bytes: container, the coder's integers, the exact networks."""
    codec = tngexp.load(name)
    x = tensor(photo)
    for quality in (0, 128 / 255, 1):  # numbers that a file can state exactly
        estimate = float(codec.model.estimate_bpp(x, torch.tensor([quality]))) * x[0, 0].numel() / 8
        size = len(codec.compress(photo, quality))
        assert size == pytest.approx(estimate, abs=0.003 * estimate + 32)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_better_than_jpeg_at_the_same_size(name: str, photo: Image.Image) -> None:
    x = tensor(photo)
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=10, optimize=True)
    codec = tngexp.load(name)
    data = compress_to(codec, photo, "bpp", 8 * buffer.tell() / (photo.width * photo.height))
    assert len(data) <= buffer.tell()
    ours, theirs = tensor(codec.decompress(data)), tensor(Image.open(buffer))
    if zoo.codec(name).trained_for == "PSNR":
        assert float(psnr(x, ours)) > float(psnr(x, theirs)) + 1.0
    else:
        assert 1 - float(ms_ssim(x, ours)) < 0.5 * (1 - float(ms_ssim(x, theirs)))


@pytest.mark.parametrize("name", zoo.EARLIER)
def test_better_than_the_generation_before_it(name: str, photo: Image.Image) -> None:
    """R + λ·D of a file, at the λ that the newest was trained for."""
    newest = tngexp.load(name.rpartition("-")[0])
    trained_for = newest.model.objective
    assert trained_for is not None
    quality = 102 / 255  # a number that a file can state exactly
    low, high = (float(trained_for[key]) for key in ("lmbda_min", "lmbda_max"))
    x, costs = tensor(photo), []
    for codec in (newest, tngexp.load(name)):
        data = codec.compress(photo, quality)
        x_hat = tensor(codec.decompress(data))
        squared = 255**2 * float(((x_hat - x) ** 2).mean())
        distortion = squared if zoo.codec(name).trained_for == "PSNR" else 1 - ms_ssim(x, x_hat)
        bpp = 8 * len(data) / (photo.width * photo.height)
        costs.append(bpp + low * (high / low) ** quality * float(distortion))
    assert costs[0] < 0.995 * costs[1]


def grid(image: Image.Image) -> float:
    """How much the steps between neighbours depend on where in a block of 16 they lie; 1: not."""
    pixels = np.asarray(image.convert("RGB")).astype(float)
    found = []
    for axis in (0, 1):
        steps = np.minimum(np.abs(np.diff(pixels, axis=axis)), 8)  # flat areas count, not edges
        lines = steps.mean(axis=(1 - axis, 2))
        phases = lines[: len(lines) // 16 * 16].reshape(-1, 16).mean(axis=0)
        found.append(phases.max() / phases.mean())
    return float(max(found))


@pytest.mark.parametrize("name", zoo.MODELS)
def test_low_rates_show_no_block_grid(name: str, photo: Image.Image) -> None:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=10)
    assert grid(Image.open(buffer)) > 1.5
    codec = tngexp.load(name)
    assert grid(codec.decompress(compress_to(codec, photo, "bpp", 0.06))) < 1.2
    # The lowest quality goes down to 0.04 bpp, where flat areas are hardly coded at all.
    assert grid(codec.decompress(codec.compress(photo, 0.0))) < 1.25


def test_the_command_needs_no_model(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TNGEXP_MODEL", raising=False)
    photo.save(tmp_path / "cat.png")
    assert main(["compress", str(tmp_path / "cat.png")]) == 0
    assert main(["decompress", str(tmp_path / "cat.tng"), "-o", str(tmp_path / "back.png")]) == 0
    expected = tngexp.load(zoo.DEFAULT).decompress((tmp_path / "cat.tng").read_bytes())
    assert np.array_equal(np.array(Image.open(tmp_path / "back.png")), np.array(expected))


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = zoo.DEFAULT
    copy = tmp_path / f"{name}.safetensors"
    copy.write_bytes(zoo.path(name).read_bytes()[:-1] + b"x")
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(tngexp.io.CheckpointError, match="not the file that was shipped"):
        zoo.path(name)


def test_an_unknown_name_lists_the_shipped_ones(
    photo: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo.save(tmp_path / "cat.png")
    assert main(["compress", str(tmp_path / "cat.png"), "--model", "tng-subjectiv"]) != 0
    error = capsys.readouterr().err
    assert all(f"{name}," in error for name in zoo.MODELS)
    assert not any(name in error for name in zoo.EARLIER)  # no choices
    assert not (tmp_path / "cat.tng").exists()
