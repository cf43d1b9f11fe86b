"""Further metrics: directions, what they lack, and what other implementations say."""

from __future__ import annotations

import importlib.util
import itertools
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import piq
import pytest
import torch
from numpy.typing import NDArray
from support import photo

from tngexp.metrics import perceptual
from tngexp.metrics.extra import EXTRA_METRICS, check_metrics, extra_metrics
from tngexp.types import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No metric may reach for the network."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a metric opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


def needs(name: str) -> None:
    if missing := EXTRA_METRICS[name].lacks():
        pytest.skip(f"{name} {missing}")


def as_tensor(rgb: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.array(rgb)).float().permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def original() -> torch.Tensor:
    return as_tensor(np.asarray(photo(176, 176)))


@pytest.mark.parametrize("name", EXTRA_METRICS)
def test_better_pictures_get_better_figures(name: str, original: torch.Tensor) -> None:
    needs(name)
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    good, middling, bad = (
        extra_metrics(original, original + deviation * noise, [name])[name]
        for deviation in (0.01, 0.04, 0.16)
    )
    assert good is not None
    assert middling is not None
    assert bad is not None
    if EXTRA_METRICS[name].higher_is_better:
        assert good > middling > bad
    else:
        assert good < middling < bad


@pytest.mark.parametrize(
    ("name", "side"), [("swd", 15), ("swd_fine", 60), ("ssimulacra2", 7), ("iw_ssim", 160)]
)
def test_too_small_a_picture_has_no_figure(name: str, side: int) -> None:
    needs(name)
    for size, measurable in ((side, False), (side + 1, True)):
        x = as_tensor(np.asarray(photo(size, size)))
        value = extra_metrics(x, x * 0.9, [name])[name]
        assert (value is not None) == measurable


def test_unknown_metrics_are_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no metric called 'vmaf'; metrics: ssim, .*swd_fine"):
        check_metrics(["ssim", "vmaf"])


@pytest.mark.parametrize(("name", "module"), [("ssimulacra2", "ssimulacra2"), ("cvvdp", "pycvvdp")])
def test_a_missing_package_is_one_line(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda m: None if m == module else find(m))
    x = torch.zeros(1, 3, 32, 32)
    for refuse in (check_metrics, lambda names: extra_metrics(x, x, names)):
        with pytest.raises(ConfigError) as caught:
            refuse(["gmsd", name])
        assert str(caught.value) == (
            f"metrics={name} needs the package {module}: pip install 'tngexp[perceptual]'"
        )


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_weights_are_asked_for_and_never_downloaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with pytest.raises(ConfigError) as caught:
        check_metrics([name])
    vgg, own = re.findall(r"https://\S+", str(caught.value))
    assert vgg.endswith("/vgg16-397923af.pth")
    assert own.endswith(f"/{name}_weights.pt")
    assert str(caught.value).startswith(f"metrics={name} needs weights; download https://")
    assert str(caught.value).endswith(f" into {folder}")
    (folder / "vgg16-397923af.pth").touch()
    with pytest.raises(ConfigError, match=f"download {re.escape(own)} into"):
        check_metrics([name])
    (folder / f"{name}_weights.pt").touch()
    check_metrics([name])


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_networks_see_the_decoded_picture_and_the_original(
    name: str, original: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def network() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        return lambda x_hat, x: calls.append((x_hat, x)) or (x - x_hat).mean()

    monkeypatch.setattr(piq, name.upper(), network)
    monkeypatch.setattr(perceptual, "lacks_weights", lambda _: None)
    perceptual._network.cache_clear()
    try:
        darker = (original * 255 - 51).clamp(0, 255) / 255
        assert float(EXTRA_METRICS[name].measure(original, darker)) > 0.1
        assert torch.equal(calls[0][0], darker)
        small = original[..., :31, :]
        assert torch.isnan(EXTRA_METRICS[name].measure(small, small))
    finally:
        perceptual._network.cache_clear()


def flat(side: int, value: int) -> NDArray[np.uint8]:
    return np.full((side, side, 3), value, np.uint8)


def gradient(side: int) -> NDArray[np.uint8]:
    row = (np.arange(side) * 255 // (side - 1)).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (side, side, 3))


def random_bytes(side: int, seed: int) -> NDArray[np.uint8]:
    """Knuth's linear congruential generator, from whose states the reference figures are."""
    states = itertools.accumulate(
        range(3 * side**2),
        lambda state, _: (state * 6364136223846793005 + 1442695040888963407) % 2**64,
        initial=seed,
    )
    return np.array([(s >> 33) & 255 for s in states][1:], np.uint8).reshape(side, side, 3)


@pytest.mark.parametrize(
    ("original", "decoded", "score", "tolerance"),
    [
        # What the original program says of generated pictures, as noted in src/reference_data.rs of
        # imazen/ssimulacra2, a port of it. The program's blur is an approximation, which shows
        # where nothing but the borders differs: a point and a half is what the port allows itself.
        (gradient(64), flat(64, 128), -64.56872148, 0.01),
        (random_bytes(64, 42), flat(64, 128), -47.33572558, 0.5),
        (flat(64, 128), flat(64, 138), 80.24289393, 0.5),
        (flat(64, 128), flat(64, 178), -8.75942256, 0.5),
        (flat(256, 128), flat(256, 138), 80.29149136, 1.5),
        (flat(256, 128), flat(256, 178), -0.39085784, 1.5),
    ],
)
def test_ssimulacra2_agrees_with_the_original_program(
    original: NDArray[np.uint8], decoded: NDArray[np.uint8], score: float, tolerance: float
) -> None:
    needs("ssimulacra2")
    measured = extra_metrics(as_tensor(original), as_tensor(decoded), ["ssimulacra2"])
    assert measured["ssimulacra2"] == pytest.approx(score, abs=tolerance)


def test_ssimulacra2_of_a_portrait_is_that_of_it_lying(original: torch.Tensor) -> None:
    needs("ssimulacra2")
    x = original[..., :120, :]
    x_hat = x.flip(3)
    upright, lying = (
        float(perceptual.ssimulacra2(*pair))
        for pair in ((x, x_hat), (x.transpose(2, 3), x_hat.transpose(2, 3)))
    )
    assert upright == pytest.approx(lying, abs=1e-6)


@pytest.mark.parametrize(("name", "best"), [("ssimulacra2", 100), ("cvvdp", 10)])
def test_identical_pictures_are_best(name: str, best: float, original: torch.Tensor) -> None:
    needs(name)
    assert extra_metrics(original, original, [name])[name] == pytest.approx(best, abs=1e-4)


def test_cvvdp_is_what_its_package_says_of_the_pixels(original: torch.Tensor) -> None:
    needs("cvvdp")
    import pycvvdp

    x, x_hat = (
        (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
        for image in (original, (original * 0.9 + 0.05 * original.flip(2)).clamp(0, 1))
    )
    metric = pycvvdp.cvvdp(display_name="standard_4k", device=torch.device("cpu"), quiet=True)
    expected, _ = metric.predict(x_hat, x, dim_order="HWC")
    measured = extra_metrics(as_tensor(x), as_tensor(x_hat), ["cvvdp"])["cvvdp"]
    assert measured == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("file", ["evaluate.yaml", "compare.yaml"])
def test_configurations_list_every_metric(file: str) -> None:
    text = (ROOT / "conf" / file).read_text(encoding="utf-8")
    listed = re.search(r"(#[^\n]*\n)*metrics: .*", text)
    assert listed is not None
    assert set(EXTRA_METRICS) <= set(re.findall(r"\w+", listed[0]))


def test_the_documentation_tells_of_every_metric_and_its_direction() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]*(higher|lower)[^|]*\|", text, re.MULTILINE))
    assert rows == {
        name: "higher" if metric.higher_is_better else "lower"
        for name, metric in EXTRA_METRICS.items()
    }
