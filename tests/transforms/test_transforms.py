"""What every encoder option promises: shapes, gradients, low-precision use, cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from support import needs_bf16
from torch.utils.flop_counter import FlopCounterMode

from tngexp.transforms.attention import AttentionTransform
from tngexp.transforms.depthwise import DepthwiseTransform, LappedHead, LappedStem
from tngexp.transforms.gdn import GDNTransform
from tngexp.transforms.pyramid import PyramidTransform
from tngexp.transforms.residual import ResidualTransform
from tngexp.types import ConfigError, Transform

_TRANSFORMS: dict[str, type[Transform]] = {
    "attention": AttentionTransform,
    "depthwise": DepthwiseTransform,
    "gdn": GDNTransform,
    "pyramid": PyramidTransform,
    "residual": ResidualTransform,
}
_CONF = Path(__file__).parents[2] / "conf" / "encoder"

each_transform = pytest.mark.parametrize("name", sorted(_TRANSFORMS))


def _build(name: str, N: int = 8, M: int = 12) -> Transform:
    torch.manual_seed(0)
    make: Callable[..., Transform] = _TRANSFORMS[name]
    return make(N=N, M=M)


def _smooth_image(batch: int, height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(batch, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


@each_transform
def test_shapes_follow_the_stride(name: str) -> None:
    transform = _build(name)
    assert (transform.stride, transform.latent_channels) == (16, 12)
    y = transform.analysis(torch.rand(2, 3, 32, 48))
    assert y.shape == (2, 12, 2, 3)
    assert transform.synthesis(y).shape == (2, 3, 32, 48)


@each_transform
@pytest.mark.parametrize("bad", [0, -4, 1.5, "8", True, None])
@pytest.mark.parametrize("option", ["N", "M"])
def test_bad_dimensions_are_named(name: str, bad: object, option: str) -> None:
    make: Callable[..., Transform] = _TRANSFORMS[name]
    with pytest.raises(ConfigError, match=rf"{name}.*{option} must be a positive"):
        make(**({"N": 8, "M": 8} | {option: bad}))


@pytest.mark.parametrize("option", ["blocks_analysis", "blocks_synthesis", "expansion"])
def test_bad_depthwise_options_are_named(option: str) -> None:
    make: Callable[..., Transform] = DepthwiseTransform
    with pytest.raises(ConfigError, match=f"depthwise.*{option} must be a positive"):
        make(N=8, M=8, **{option: 0})


@each_transform
def test_first_step_reaches_every_parameter(name: str) -> None:
    transform = _build(name)
    x = _smooth_image(2, 32, 32)
    (transform.synthesis(transform.analysis(x)) - x).square().mean().backward()
    dead = [k for k, p in transform.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


@each_transform
def test_signal_neither_vanishes_nor_explodes_at_the_start(name: str) -> None:
    transform = _build(name, N=32, M=48)
    x = _smooth_image(2, 64, 64)
    with torch.no_grad():
        y = transform.analysis(x)
        x_hat = transform.synthesis(y)
    assert 0.2 < y.std() < 6  # some symbols differ from zero after rounding
    assert (x_hat - 0.5).square().mean().sqrt() < 2


@needs_bf16
@each_transform
def test_bfloat16_stays_close_to_float32(name: str) -> None:
    transform = _build(name, N=16, M=16).to(memory_format=torch.channels_last)
    x = _smooth_image(2, 32, 32).contiguous(memory_format=torch.channels_last)
    y = transform.analysis(x)
    x_hat = transform.synthesis(y)
    with torch.autocast("cpu", torch.bfloat16):
        y_low = transform.analysis(x)
        x_low = transform.synthesis(y)
    assert y_low.dtype == x_low.dtype == torch.bfloat16  # nothing fell back to float32
    # bfloat16 keeps 8 bits: 0.4 % per operation, and the deepest path here is some 40 long.
    assert (y_low - y).norm() < 0.03 * y.norm()
    assert (x_low - x_hat).norm() < 0.03 * x_hat.norm()
    x_low.float().square().sum().backward()
    gradients = [p.grad for p in transform.synthesis.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


@each_transform
def test_state_is_parameters_only(name: str) -> None:
    transform = _build(name)
    assert transform.state_dict().keys() == dict(transform.named_parameters()).keys()


@each_transform
def test_yaml_lists_every_argument_of_its_class(name: str) -> None:
    conf = yaml.safe_load((_CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    cls = _TRANSFORMS[name]
    assert conf.pop("_target_") == f"{cls.__module__}.{cls.__name__}"
    arguments = cls.__init__.__code__.co_varnames[1 : cls.__init__.__code__.co_argcount]
    assert set(conf) == set(arguments)
    defaults = dict(zip(arguments, cls.__init__.__defaults__ or (), strict=True))
    assert conf == defaults


def _kmac_per_pixel(name: str, half: str) -> float:
    """Multiply-accumulates of convolutions at the default dimensions, counted on shapes alone."""
    conf = yaml.safe_load((_CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    del conf["_target_"]
    size = 512
    with torch.device("meta"):
        make: Callable[..., Transform] = _TRANSFORMS[name]
        transform = make(**conf)
        x = torch.empty(1, 3, size, size)
        y = torch.empty(1, conf["M"], size // 16, size // 16)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        transform.analysis(x) if half == "analysis" else transform.synthesis(y)
    return float(counter.get_total_flops() / 2 / size**2 / 1e3)


# `gdn`, by hand: 25·(3·128/4 + 128²/16 + 128²/64 + 128·192/256) + 128²·(1/4 + 1/16 + 1/64).
# The others pin what the documentation quotes.
@pytest.mark.parametrize(
    ("name", "analysis", "synthesis"),
    [
        ("attention", 189.1, 279.6),
        ("depthwise", 21.4, 26.1),
        ("gdn", 42.2, 42.2),
        ("pyramid", 172.6, 255.7),
        ("residual", 165.2, 255.7),
    ],
)
def test_cost_at_default_dimensions(name: str, analysis: float, synthesis: float) -> None:
    assert _kmac_per_pixel(name, "analysis") == pytest.approx(analysis, rel=0.02)
    assert _kmac_per_pixel(name, "synthesis") == pytest.approx(synthesis, rel=0.02)


def test_depthwise_cost_formula() -> None:
    N, M = 192, 192
    block = 8 * N * N + 9 * N
    analysis = (4 * 192 * N + 4 * block) / 64 + 4 * N * M / 256
    synthesis = (4 * 192 * N + 5 * block) / 64 + 4 * N * M / 256
    assert synthesis < 45e3  # low complexity is what this encoder is for
    assert _kmac_per_pixel("depthwise", "analysis") == pytest.approx(analysis / 1e3, rel=0.01)
    assert _kmac_per_pixel("depthwise", "synthesis") == pytest.approx(synthesis / 1e3, rel=0.01)


def test_lapped_stem_is_an_unshuffle_on_the_shifted_grid() -> None:
    torch.manual_seed(0)
    stem = LappedStem(5)
    x = torch.rand(1, 3, 24, 16)
    padded = torch.nn.functional.pad(x - 0.5, (4, 4, 4, 4), mode="replicate")
    cells = torch.nn.functional.pixel_unshuffle(padded, 8)  # (1, 192, 4, 3)
    weight = torch.nn.functional.pixel_unshuffle(stem.conv.weight, 8)  # (5, 192, 2, 2)
    expected = torch.nn.functional.conv2d(cells, weight, stem.conv.bias)
    torch.testing.assert_close(stem(x), expected, rtol=1e-4, atol=1e-5)


def test_lapped_head_fades_out_before_a_seam() -> None:
    """One cell paints the 16×16 pixels around it, with little left at the rim."""
    torch.manual_seed(0)
    head = LappedHead(64)
    features = torch.zeros(1, 64, 5, 5)
    background = head(features)
    features[:, :, 2, 2] = torch.randn(64)
    painted = head(features) - background  # (1, 3, 40, 40)
    inside = painted[..., 12:28, 12:28].clone()
    painted[..., 12:28, 12:28] = 0
    assert not painted.any()
    rim = torch.cat([inside[..., 0, :], inside[..., -1, :], inside[..., :, 0], inside[..., :, -1]])
    centre = inside[..., 5:11, 5:11]
    assert rim.square().mean() < 0.05 * centre.square().mean()


def test_lapped_head_taper_preserves_power() -> None:
    """The four cells that reach a pixel have squared weights that sum to one."""
    taper = LappedHead(4).taper
    torch.testing.assert_close(taper.square().sum((1, 2, 3)), torch.ones(192))


def test_lapped_head_treats_borders_like_the_inside() -> None:
    """Constant features give the same pattern in every cell, up to the image border."""
    torch.manual_seed(0)
    head = LappedHead(6)
    image = head(torch.randn(1, 6, 1, 1).expand(1, 6, 3, 3))
    torch.testing.assert_close(image[..., :8, :8], image[..., 8:16, 8:16])
    torch.testing.assert_close(image[..., 16:, 16:], image[..., 8:16, 8:16])


@each_transform
def test_dynamo_traces_without_graph_breaks(name: str) -> None:
    transform = _build(name)
    explanation = torch._dynamo.explain(transform.analysis)(torch.rand(1, 3, 16, 16))
    assert explanation.graph_break_count == 0
