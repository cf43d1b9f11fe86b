"""Parity with CompressAI: same weights, same input, same x̂ and the same bits."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tngexp import load
from tngexp.interop import InteropError, from_compressai, main
from tngexp.priors import ConditionalPrior, Mixture, bits
from tngexp.types import Cells

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # CompressAI's own deprecation notices on import
    models = pytest.importorskip("compressai.models")

N, M = 16, 24


def randomised(name: str) -> Any:
    """A CompressAI model with weights that make every term of the rate matter."""
    model = getattr(models, name)(N, M).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.startswith(("g_a.6", "h_a.4")):
                parameter.mul_(20)  # latents spread over several symbols
            if key.endswith("quantiles"):
                parameter[:, 0, 1] = torch.randn(len(parameter))
    return model


def total_bits(likelihoods: dict[str, torch.Tensor]) -> float:
    return sum(-torch.log2(p.double()).sum().item() for p in likelihoods.values())


@pytest.mark.parametrize("name", ["FactorizedPrior", "MeanScaleHyperprior"])
@torch.no_grad()
def test_parallel_models_agree_with_forward(name: str) -> None:
    model = randomised(name)
    x = torch.rand(2, 3, 64, 128)
    theirs = model(x)
    ours = from_compressai(model.state_dict())(x)
    assert ours.y_bits.max() > 1
    assert relative(ours.x_hat, theirs["x_hat"]) < 1e-4
    expected = total_bits(theirs["likelihoods"])
    assert ours.bits().sum().item() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_joint_model_agrees_with_what_compressai_codes() -> None:
    model = randomised("JointAutoregressiveHierarchicalPriors")
    model.update()
    # A power of two makes CompressAI's tables' scales exact; its coder then changes nothing.
    x = torch.rand(1, 3, 64, 64)
    coded = model.compress(x)
    y_hat, z_hat = decoded_latents(model, coded)
    x_hat = model.g_s(y_hat)
    params = model.h_s(z_hat)
    joined = torch.cat([params, model.context_prediction(y_hat)], dim=1)
    scales, means = model.entropy_parameters(joined).chunk(2, 1)
    _, z_likelihood = model.entropy_bottleneck(model.h_a(model.g_a(x)), training=False)
    y_likelihood = model.gaussian_conditional._likelihood(y_hat, scales, means=means)
    expected = total_bits({"y": y_likelihood.clamp(min=1e-9), "z": z_likelihood})

    ours = from_compressai(model.state_dict())(x)
    assert relative(ours.x_hat, x_hat) < 1e-4
    assert ours.bits().sum().item() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_joint_model_agrees_with_forward_given_its_latent() -> None:
    """CompressAI's ``forward`` rounds y without μ: from that ŷ the parameters are the same."""
    model = randomised("JointAutoregressiveHierarchicalPriors")
    x = torch.rand(1, 3, 64, 64)
    theirs = model(x)
    ours = from_compressai(model.state_dict())
    y = model.g_a(x)
    model = ours.model
    prior = model.prior
    assert isinstance(prior, ConditionalPrior)
    output = prior(y, model.quantizer)
    z = prior.latents(y).z
    assert z is not None
    location = prior.side_density.location.view(-1, 1, 1)
    features = prior.hyper.synthesis((z - location).round() + location)

    raw = prior.context.parallel(features, y.round())
    assert raw is not None
    distribution = Mixture(raw)
    # Their rate is charged for round(y − μ) + μ around means predicted from round(y).
    residual = (y - distribution.location).round()
    y_bits = bits(distribution, Cells(residual - 0.5, residual + 0.5))
    expected = total_bits(theirs["likelihoods"])
    assert (y_bits.sum() + output.z_bits.sum()).item() == pytest.approx(expected, rel=1e-4)
    assert relative(model.transform.synthesis(y.round()), theirs["x_hat"]) < 1e-4


def decoded_latents(model: Any, coded: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """ŷ and ẑ inside CompressAI's ``decompress``, taken from what it hands to g_s."""
    seen: list[torch.Tensor] = []
    handle = model.g_s.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    model.decompress(coded["strings"], coded["shape"])
    handle.remove()
    return seen[0], model.entropy_bottleneck.decompress(coded["strings"][1], coded["shape"])


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


def test_scale_hyperprior_is_refused() -> None:
    with pytest.raises(InteropError, match="ScaleHyperprior"):
        from_compressai(models.ScaleHyperprior(N, M).state_dict())


def test_foreign_weights_are_refused() -> None:
    with pytest.raises(InteropError, match="supported are"):
        from_compressai(torch.nn.Linear(2, 2).state_dict())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_weights_of_wrapped_models_are_taken(prefix: str) -> None:
    state = randomised("FactorizedPrior").state_dict()
    wrapped = from_compressai({f"{prefix}{name}": t for name, t in state.items()})
    plain = from_compressai(state)
    assert wrapped.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("lists", [False, True])
def test_names_of_earlier_versions_are_taken(lists: bool) -> None:
    """``_matrix0`` … (1.2.4, say) and ``_matrices.0`` … where 1.2.8 has ``matrices.0`` …."""
    state = randomised("MeanScaleHyperprior").state_dict()
    former = {}
    for name, tensor in state.items():
        for words, word in (("matrices", "matrix"), ("biases", "bias"), ("factors", "factor")):
            earlier = f"_{words}." if lists else f"_{word}"
            name = name.replace(f"entropy_bottleneck.{words}.", f"entropy_bottleneck.{earlier}")
        former[name] = tensor
    assert f"entropy_bottleneck._factor{'s.' if lists else ''}3" in former
    assert from_compressai(former).fingerprint() == from_compressai(state).fingerprint()


@pytest.mark.parametrize(
    "name",
    ["g_a.0.weight", "g_s.6.bias", "h_s.2.weight", "h_s.4.weight", "entropy_bottleneck.quantiles"],
)
def test_missing_weights_are_named(name: str, tmp_path: Path, capsys: Any) -> None:
    state = randomised("MeanScaleHyperprior").state_dict()
    del state[name]
    torch.save(state, tmp_path / "in.pth")
    assert main([str(tmp_path / "in.pth"), str(tmp_path / "out.ckpt")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'in.pth'}: ")
    assert name in error
    assert not (tmp_path / "out.ckpt").exists()


@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("name", ["g_s.0.weight", "entropy_bottleneck._matrix0", "h_a.0.bias"])
def test_weights_that_are_no_numbers_are_refused(name: str, value: float) -> None:
    state = randomised("MeanScaleHyperprior").state_dict()
    name = name if name in state else "entropy_bottleneck.matrices.0"
    state[name].view(-1)[0] = value
    with pytest.raises(InteropError, match=f"{name} holds NaN or infinity"):
        from_compressai(state)


@pytest.mark.parametrize(
    "state",
    [
        {"g_a.0.weight": 3},
        {"g_a.0.weight": torch.zeros(())},
        {3: torch.zeros(3)},
        {},
        {"module.": torch.zeros(3)},
    ],
)
def test_what_is_no_state_dict_is_refused(state: Any) -> None:
    with pytest.raises(InteropError):
        from_compressai(state)


def test_unexpected_weights_are_named() -> None:
    state = randomised("FactorizedPrior").state_dict()
    state["g_a.9.weight"] = torch.zeros(3)
    with pytest.raises(InteropError, match=r"unexpected g_a\.9\.weight"):
        from_compressai(state)


def test_command_line_writes_a_loadable_checkpoint(tmp_path: Path, capsys: Any) -> None:
    model = randomised("MeanScaleHyperprior")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "in.pth.tar")
    target = tmp_path / "out.ckpt"
    assert main([str(tmp_path / "in.pth.tar"), str(target)]) == 0
    codec = load(target)
    assert codec._stored is not None  # or two machines might derive tables that differ in a bit
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth.tar", "out.ckpt"]
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        bpp = codec(x).bpp().item()
        expected = total_bits(model(x)["likelihoods"]) / 64**2
    assert math.isclose(bpp, expected, rel_tol=1e-4)
    assert main([str(tmp_path / "in.pth.tar"), str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([str(tmp_path / "nope"), str(tmp_path / "x")]) == 2
