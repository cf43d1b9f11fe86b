"""Searching at encode time: less of R + λ·D, never more, and every file an ordinary one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from PIL import Image
from support import options, photo, scaled_codec
from torch import Tensor

import tngexp
from tngexp.bitstream import ImageCodec
from tngexp.bitstream.effort import (
    Plan,
    Progress,
    Refined,
    Region,
    plan_of,
    refine,
    refine_image,
    tuning_of,
)
from tngexp.bitstream.effort.annealed import Annealed
from tngexp.bitstream.effort.refine import _windows
from tngexp.losses import MixedLoss
from tngexp.model.codec import Codec
from tngexp.pixels import to_picture
from tngexp.priors import Hard
from tngexp.types import ConfigError, Latents

OBJECTIVE = {"distortion": "mse", "lmbda": 0.01, "lmbda_min": 0.002, "lmbda_max": 0.05}
SHORT = Plan(3, rate=0.1, hot=0.5, cold=0.1)


@functools.cache
def shipped() -> ImageCodec:
    codec: ImageCodec = tngexp.load("tng-objective")
    return codec


def small(quantizer: str = "mixed", prior: str = "quadtree") -> ImageCodec:
    codec = scaled_codec(quantizer, prior)
    codec.model.objective = OBJECTIVE
    return codec


def cost(codec: ImageCodec, data: bytes, quality: float) -> float:
    """R + λ·255²·MSE of a file, from its bytes and its picture."""
    image = photo(100, 70)
    error = np.asarray(codec.decompress(data), float) - np.asarray(image, float)
    low, high = (codec.model.objective[key] for key in ("lmbda_min", "lmbda_max"))  # type: ignore[index]
    lmbda = low * (high / low) ** (round(quality * 255) / 255)
    return float(8 * len(data) / (100 * 70) + lmbda * (error**2).mean())


def test_more_effort_costs_less_of_what_the_codec_was_trained_for() -> None:
    codec, image = shipped(), photo(100, 70)
    costs = [cost(codec, codec.compress(image, 0.5, effort), 0.5) for effort in (0, 3, 4)]
    assert costs[1] < 0.99 * costs[0]
    assert costs[2] < 0.98 * costs[0]
    assert costs[2] < costs[1]


@pytest.mark.parametrize("prior", options("prior"))
@pytest.mark.parametrize("quantizer", ["mixed", "dead_zone", "soft_to_hard"])
def test_no_effort_is_worse_than_none(
    quantizer: str, prior: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps of far too large a rate, on codecs that were never trained."""
    monkeypatch.setattr("tngexp.bitstream.coder.plan_of", lambda effort: SHORT if effort else None)
    codec, image = small(quantizer, prior), photo(100, 70)
    plain, searched = (codec.compress(image, 0.5, effort) for effort in (0, 1))
    assert cost(codec, searched, 0.5) <= cost(codec, plain, 0.5)


def test_a_harmful_search_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def harmful(model: Codec, latents: Latents, *_: object, **__: object) -> Refined:
        return Refined(latents._replace(y=latents.y + 40), True)

    monkeypatch.setattr("tngexp.bitstream.effort.image.refine", harmful)
    codec, image = small(), photo(100, 70)
    assert codec.compress(image, 0.5, 1) == codec.compress(image, 0.5)


def test_one_seed_one_file() -> None:
    codec, image = shipped(), photo(60, 50)
    first, second, other = (codec.compress(image, 0.5, 2, seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize("prior", ["factorized", "context", "quadtree"])
@pytest.mark.parametrize("quantizer", ["mixed", "noise", "soft_round", "soft_to_hard"])
def test_one_seed_one_search(quantizer: str, prior: str) -> None:
    """Whatever else has been drawn, and nothing else is drawn otherwise because of it."""
    codec = small(quantizer, prior)
    start, tuning = codec.analyse(photo(60, 50), 0.5), tuning_of(OBJECTIVE, 0.5, None)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        (tile,) = refine_image(codec.model, start, tuning, SHORT, seed=1).analysis.tiles
        assert torch.equal(torch.get_rng_state(), before)
        found.append(tile.y)
    assert torch.equal(*found)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_off_around_it(mode: Callable[[], AbstractContextManager[None]]) -> None:
    codec, image = shipped(), photo(60, 50)
    with mode():
        data = codec.compress(image, 0.5, 2)
    assert data == codec.compress(image, 0.5, 2)


@torch.no_grad()
@pytest.mark.parametrize("quantizer", ["mixed", "soft_to_hard", "dead_zone"])
def test_a_cold_draw_is_the_hard_choice(quantizer: str) -> None:
    codec = small(quantizer).model
    latents = codec.analyse(torch.rand(1, 3, 64, 64), torch.tensor([0.5]))
    size = tuple(latents.y.shape)
    hard, cold = Hard(), Annealed(1e-4, torch.Generator().manual_seed(0))
    wanted = codec.prior.walk(hard, latents, codec.quantizer, size)
    found = codec.prior.walk(cold, latents, codec.quantizer, size)
    same = (wanted - found).abs() < 2e-3
    assert same.float().mean() > 0.98
    for name, bits in hard.bits.items():
        assert float(cold.bits[name].sum()) == pytest.approx(float(bits.sum()), rel=0.05)


def test_the_search_sees_bits_and_distortion_of_what_it_draws() -> None:
    told: list[Progress] = []
    codec, image = shipped(), photo(100, 70)
    data = codec.compress(image, 0.5, 3, tell=told.append)
    assert [p.step for p in told] == list(range(1, 26))
    assert {p.steps for p in told} == {25}
    assert told[-1].bpp == pytest.approx(8 * len(data) / (100 * 70), rel=0.2)
    error = np.asarray(codec.decompress(data), float) - np.asarray(image, float)
    assert told[-1].distortion == pytest.approx(float((error**2).mean()), rel=0.2)


def test_an_interrupted_search_keeps_what_it_has() -> None:
    codec, image = shipped(), photo(100, 70)

    def interrupt(progress: Progress) -> None:
        if progress.step == 15:
            raise KeyboardInterrupt

    stopped = codec.compress(image, 0.5, 4, tell=interrupt)
    assert cost(codec, stopped, 0.5) < cost(codec, codec.compress(image, 0.5), 0.5)


def test_weights_are_left_alone() -> None:
    codec = small()
    before = {name: t.clone() for name, t in codec.state_dict().items()}
    name, frozen = next(iter(codec.named_parameters()))
    frozen.requires_grad_(False)
    codec.compress(photo(60, 50), 0.5, 1)
    assert all(torch.equal(before[n], t) for n, t in codec.state_dict().items())
    assert [n for n, p in codec.named_parameters() if not p.requires_grad] == [name]
    assert all(p.grad is None for p in codec.parameters())


@pytest.mark.parametrize("size", [(4, 4), (56, 60), (60, 128), (128, 68)])
def test_windows_keep_every_position_once(size: tuple[int, int]) -> None:
    count = torch.zeros(size)
    for rows, columns, keep_rows, keep_columns in _windows(*size):
        count[keep_rows, keep_columns] += 1
        for part, kept, length in (
            (rows, keep_rows, size[0]),
            (columns, keep_columns, size[1]),
        ):
            assert part.start == max(kept.start - 4, 0)
            assert part.stop == min(kept.stop + 4, length)
            assert part.start % 4 == part.stop % 4 == 0
            assert part.stop - part.start <= 64
    assert (count == 1).all()


def test_a_large_image_is_searched_everywhere() -> None:
    """Two windows: both change, and each keeps its own part."""
    codec = small().model
    rgb = torch.from_numpy(np.array(photo(1000, 64))).permute(2, 0, 1)
    quality = torch.tensor([0.5])
    with torch.no_grad():
        latents = codec.analyse(rgb[None] / 255, quality)
    tuning = tuning_of(OBJECTIVE, 0.5, None)
    told: list[Progress] = []
    found, finished = refine(codec, latents, Region(rgb, quality), tuning, SHORT, tell=told.append)
    assert finished
    assert told[-1].steps == 2 * SHORT.steps == len(told)
    assert found.z is not None
    assert latents.z is not None
    for new, old in ((found.y, latents.y), (found.z, latents.z)):
        moved = (new - old).abs().amax((0, 1, 2))  # of each column
        assert (moved > 1e-4).all()
        assert (moved < 1).all()


def strip(codec: ImageCodec, monkeypatch: pytest.MonkeyPatch) -> Image.Image:
    """An image of two tiles, the last of which is too small for MS-SSIM."""
    monkeypatch.setattr("tngexp.bitstream.analysis._TILE", 12)
    assert codec.model.transform.stride == 16
    return photo(12 * 16 + 50, 176)


def test_a_tile_too_small_for_the_distortion_keeps_its_latents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Photos whose side is just above a multiple of the tile's: 2048·k + 1 … 175 pixels."""
    codec, shares = small(), list[float]()
    start = codec.analyse(strip(codec, monkeypatch), 0.5)
    tuning = tuning_of(objective("msssim"), 0.5, None)
    found, finished = refine_image(codec.model, start, tuning, SHORT, progress=shares.append)
    assert finished
    same = [torch.equal(a.y, b.y) for a, b in zip(start.tiles, found.tiles, strict=True)]
    assert same == [False, True]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert codec.decompress(codec.write(found)).size == (242, 176)


def test_an_image_too_small_is_told_before_it_is_analysed(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = small()
    start = codec.analyse(photo(175, 200), 0.5)
    monkeypatch.setattr("tngexp.bitstream.coder.analyse", None)
    with pytest.raises(ConfigError, match="175×200 pixels is too small to search for msssim"):
        codec.compress(photo(175, 200), 0.5, 1, tune="msssim")
    with pytest.raises(ConfigError, match="175×200"):
        refine_image(codec.model, start, tuning_of(OBJECTIVE, 0.5, "mixed"), SHORT)


def objective(distortion: str) -> dict[str, object]:
    return OBJECTIVE | {"distortion": distortion}


def mixed(msssim_weight: float, mse_weight: float) -> dict[str, object]:
    return objective("mixed") | {"msssim_weight": msssim_weight, "mse_weight": mse_weight}


def test_tuning_takes_the_codecs_lambda_or_its_equal() -> None:
    own = tuning_of(objective("mse"), 0.5, None)
    assert (own.name, own.lmbda) == ("mse", pytest.approx(math.sqrt(0.002 * 0.05)))
    assert tuning_of(objective("mse"), None, None).lmbda == 0.01
    other = tuning_of(objective("mse"), 0.5, "msssim")
    assert other.lmbda == pytest.approx(own.lmbda / 0.00078)
    assert tuning_of(objective("msssim"), 0.5, "mse").lmbda == pytest.approx(own.lmbda * 0.00078)
    # One more of 255²·MSE is 0.9·0.00078 + 0.00009 of what tng-mixed was trained for.
    expected = own.lmbda * 0.00078 / (0.9 * 0.00078 + 0.00009)
    assert tuning_of(objective("msssim"), 0.5, "mixed").lmbda == pytest.approx(expected)
    # Files of early versions tell nothing but λ.
    early = {"lmbda_min": 0.4, "lmbda_max": 440.0}
    assert tuning_of(early, 0.5, None).name == "msssim"
    assert tuning_of({"lmbda_min": 0.0003, "lmbda_max": 0.13}, 0.5, None).name == "mse"


def test_a_mixed_loss_is_searched_for_as_it_was_trained() -> None:
    """The weights of ``loss=mixed`` are others than those of tng-mixed."""
    x = torch.rand(1, 3, 176, 176)
    x_hat = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    loss = MixedLoss(1, 1, 2, msssim_weight=0.5, mse_weight=0.00039)
    for tune in (None, "mixed"):
        tuning = tuning_of(mixed(0.5, 0.00039), None, tune)
        assert (tuning.name, tuning.lmbda, tuning.min_side) == ("mixed", 0.01, 176)
        expected = loss.distortion(x, x_hat).total
        torch.testing.assert_close(tuning.distortion(x, x_hat), expected)
    # The same trade in other distortions is that of both parts.
    for tune, trade in (("mse", 2 * 0.00078 + 0.004), ("msssim", 2 + 0.004 / 0.00078)):
        found = tuning_of(mixed(2, 0.004), None, tune)
        assert (found.name, found.lmbda) == (tune, pytest.approx(0.01 * trade))
    for tune in (None, "mse", "mixed"):
        with pytest.raises(ConfigError, match="its file does not tell how MS-SSIM and MSE are"):
            tuning_of(objective("mixed"), 0.5, tune)


def test_files_are_judged_by_the_codecs_own_mixed_loss() -> None:
    """Of weights 0 and 1, which makes it R + λ·255²·MSE, as it is worked out here."""
    codec, image = small(), photo(176, 176)
    codec.model.objective = mixed(0, 1)
    file = codec.compress(image, 0.5)
    tuning = tuning_of(codec.model.objective, 128 / 255, None)
    pixels = (np.asarray(picture, float) for picture in (codec.decompress(file), image))
    expected = 8 * len(file) / 176**2 + tuning.lmbda * np.square(np.subtract(*pixels)).mean()
    assert codec._cost(file, to_picture(image).rgb, tuning) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["mse", "msssim", "mixed"])
def test_every_distortion_can_be_searched_for(name: str) -> None:
    tuning = tuning_of(objective("msssim"), 0.5, name)
    x = torch.from_numpy(np.array(photo(192, 176))).permute(2, 0, 1)[None] / 255
    x_hat = (0.9 * x).requires_grad_()
    value: Tensor = tuning.distortion(x, x_hat)
    value.sum().backward()
    assert value.shape == (1,)
    assert x_hat.grad is not None
    assert x_hat.grad.abs().max() > 0


def test_tuning_decides_what_gets_better() -> None:
    codec, image = shipped(), photo(192, 176)
    from tngexp.metrics import ms_ssim, psnr

    def figures(tune: str) -> tuple[float, float, int]:
        data = codec.compress(image, 0.3, 3, tune=tune)
        x, x_hat = (
            torch.from_numpy(np.array(i)).permute(2, 0, 1)[None] / 255
            for i in (image, codec.decompress(data))
        )
        return float(psnr(x, x_hat)), float(ms_ssim(x, x_hat)), len(data)

    pixels, structure = figures("mse"), figures("msssim")
    assert pixels[0] > structure[0]
    assert structure[1] / structure[2] > pixels[1] / pixels[2] or structure[1] > pixels[1]


@pytest.mark.parametrize("effort", [-1, 10, 2.0, "3", True, None])
def test_an_effort_is_one_of_ten(effort: object) -> None:
    with pytest.raises(ConfigError, match="effort must be a whole number from 0"):
        plan_of(effort)  # type: ignore[arg-type]


def test_plans_grow() -> None:
    plans = [plan_of(effort) for effort in range(10)]
    assert plans[0] is None
    steps = [plan.steps for plan in plans if plan]
    assert steps == sorted(set(steps))
    assert steps[-1] == 1000


def test_what_cannot_be_searched_is_named() -> None:
    codec, image = small(), photo(60, 50)
    with pytest.raises(ConfigError, match="tune must be one of mse, msssim, mixed, not 'ssim'"):
        codec.compress(image, 0.5, 1, tune="ssim")
    with pytest.raises(ConfigError, match="60×50 pixels is too small to search for msssim"):
        codec.compress(image, 0.5, 1, tune="msssim")
    with pytest.raises(ConfigError, match="alphabet Codebook"):
        small("vq").compress(image, 0.5, 1)
    codec.model.objective = None
    with pytest.raises(ConfigError, match="does not tell for which λ"):
        codec.compress(image, 0.5, 1)
    codec.model.objective = objective("perceptual")
    for tune in (None, "mse"):
        with pytest.raises(ConfigError, match="trained for the distortion 'perceptual'; efforts"):
            codec.compress(image, 0.5, 1, tune=tune)
    assert codec.compress(image, 0.5)
