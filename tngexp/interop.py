"""Weights from elsewhere: CompressAI's state dicts become codecs of ours.

``python -m tngexp.interop weights.pth.tar codec.ckpt`` converts a file; CompressAI itself is not
needed for it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tngexp.bitstream import ImageCodec
from tngexp.bitstream.codec_files import save
from tngexp.common.terminal import named_path, reason, run_printing
from tngexp.model.codec import Codec
from tngexp.types import TngexpError

__all__ = ["InteropError", "from_compressai", "main"]


class InteropError(TngexpError):
    """A state dict that is not one of the supported CompressAI architectures."""


# CompressAI's prefix → ours, for each group of layers; the rest of a key stays as it is.
_TRANSFORMS = {"g_a.": "transform.analysis.", "g_s.": "transform.synthesis."}
_HYPER = {
    "h_a.": "prior.hyper.analysis.",
    "h_s.": "prior.hyper.synthesis.",
    "entropy_bottleneck.": "prior.side_density.",
}
_CONTEXT = {
    "context_prediction.": "prior.context.conv.",
    "entropy_parameters.": "prior.context.network.",
}
_WRAPPERS = ("module.", "_orig_mod.")
_DENSITY = "entropy_bottleneck."
# Earlier versions of CompressAI name its parameters _matrix0 (1.2.4, say) or _matrices.0.
_FORMER = {
    former: f"{today}."
    for word, today in (("matrix", "matrices"), ("bias", "biases"), ("factor", "factors"))
    for former in (f"_{today}.", f"_{word}")
}
# Constants and coding tables that ours derives.
_DERIVED = re.compile(
    r"_reparam\.|\.(_offset|_quantized_cdf|_cdf_length|target|quantiles|mask|scale_table|scale_bound)$"
    r"|likelihood_lower_bound|lower_bound_scale"
)


def from_compressai(state_dict: Mapping[str, Tensor], lmbda: float = 0.01) -> ImageCodec:
    """A codec with the weights of a CompressAI model, in evaluation mode.

    Supported are ``FactorizedPrior`` (bmshj2018), ``MeanScaleHyperprior`` and
    ``JointAutoregressiveHierarchicalPriors`` (mbt2018); sizes are read off the weights. With the
    same input x̂ and the bits agree to float32 rounding. One difference is on purpose: CompressAI's
    ``forward`` of the joint model rounds y itself, while its ``compress`` rounds y − μ position by
    position. Ours always does the latter, so the estimate is of what is coded.

    Args:
        state_dict: ``model.state_dict()`` of CompressAI, with the names of 1.2 or earlier ones,
            also of a model that was wrapped in DataParallel or DistributedDataParallel.
        lmbda: λ the model was trained with, kept for the record.

    Raises:
        InteropError: naming what is missing, unexpected, or no number.
    """
    state_dict = _plain(state_dict)
    config, renames = _describe(state_dict)
    codec = Codec.from_config(config)
    codec.objective = {"lmbda": lmbda}
    weights = _rename(state_dict, renames)
    # Symbol 0 sits at the density's median, the middle one of CompressAI's three quantiles.
    quantiles = state_dict["entropy_bottleneck.quantiles"]
    if quantiles.dim() != 3 or quantiles.shape[1:] != (1, 3):
        raise InteropError("'entropy_bottleneck.quantiles' are not three for each channel")
    weights[renames["entropy_bottleneck."] + "location"] = quantiles[:, 0, 1]
    expected = codec.state_dict()
    missing = expected.keys() - weights.keys()
    foreign = weights.keys() - expected.keys()
    if missing or foreign:
        lists = {"missing": missing, "unexpected": foreign}
        named = (f"{word} {_listed(names, renames)}" for word, names in lists.items() if names)
        raise InteropError(
            f"the weights do not fit the CompressAI model they look like: {'; '.join(named)}"
        )
    try:
        codec.load_state_dict(weights)
    except RuntimeError as error:
        raise InteropError(f"the weights' shapes do not fit together: {error}") from error
    return ImageCodec(codec).eval()


def main(argv: list[str] | None = None) -> int:
    """Command line of ``python -m tngexp.interop``; returns the exit code."""
    return run_printing(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tngexp.interop", description="Convert CompressAI weights to a checkpoint."
    )
    parser.add_argument(
        "weights", type=named_path, help="a file torch.save wrote: state dict or checkpoint"
    )
    parser.add_argument("checkpoint", type=named_path, help="where to write the tngexp checkpoint")
    parser.add_argument("--lmbda", type=float, default=0.01, help="λ it was trained with")
    arguments = parser.parse_args(argv)
    try:
        _convert(arguments.weights, arguments.checkpoint, arguments.lmbda)
    except TngexpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write {arguments.checkpoint}: {reason(error)}", file=sys.stderr)
        return 2
    print(f"wrote {arguments.checkpoint}")
    return 0


def _convert(source: Path, target: Path, lmbda: float) -> None:
    if not source.is_file():
        raise InteropError(f"{source}: no such file")
    if target.exists():
        raise InteropError(f"{target} exists already; choose another name or remove it first")
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InteropError(f"{source}: not a file of tensors that torch can load") from error
    state_dict = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state_dict, dict):
        raise InteropError(f"{source}: holds no state dict")
    try:
        codec = from_compressai(state_dict, lmbda)
    except InteropError as error:
        raise InteropError(f"{source}: {error}") from error
    save(codec, target)


def _plain(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """Finite tensors under the names that an unwrapped model gives them."""
    if not all(isinstance(name, str) for name in state_dict):
        raise InteropError("the names in it are no text, so it is not the state dict of a model")
    weights = {_unwrapped(name): tensor for name, tensor in state_dict.items()}
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor):
            raise InteropError(f"{name} is no tensor, so it is not the state dict of a model")
        # CompressAI itself marks tables that have not been made yet with empty tensors.
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InteropError(f"{name} holds NaN or infinity: that training has diverged")
    return weights


def _unwrapped(name: str) -> str:
    """As today's CompressAI names it, without what wrappers (torch.compile too) put before it."""
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    parameter = name.removeprefix(_DENSITY)
    for former, today in _FORMER.items():
        if parameter != name and parameter.startswith(former):
            return _DENSITY + today + parameter.removeprefix(former)
    return name


def _describe(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, str]]:
    channels_n, channels_m = (_side(state_dict, f"g_a.{i}.weight") for i in (0, 6))
    for name in ("entropy_bottleneck.quantiles", "entropy_bottleneck.matrices.0"):
        _needed(state_dict, name)
    renames = dict(_TRANSFORMS)
    if "h_a.0.weight" not in state_dict:
        prior: dict[str, Any] = {
            "_target_": "tngexp.priors.factorized.FactorizedPrior",
            "M": channels_m,
        }
        renames["entropy_bottleneck."] = "prior.density."
    else:
        if _side(state_dict, "h_s.4.weight") != 2 * channels_m:
            raise InteropError(
                "the hyper synthesis transform predicts scales only (ScaleHyperprior), which has "
                "no counterpart here; supported is MeanScaleHyperprior"
            )
        joint = "context_prediction.weight" in state_dict
        context = "masked.MaskedContext" if joint else "none.NoContext"
        prior = {
            "_target_": "tngexp.priors.conditional.ConditionalPrior",
            "M": channels_m,
            "mixture": 1,
            "hyper": {
                "_target_": "tngexp.transforms.hyper.HyperConv",
                "_partial_": True,
                "N": channels_n,
            },
            "side_quantizer": {"_target_": "tngexp.quantizers.mixed.Mixed"},
            "context": {"_target_": f"tngexp.priors.{context}", "_partial_": True},
        }
        renames |= _HYPER | (_CONTEXT if joint else {})
    config = {
        "transform": {
            "_target_": "tngexp.transforms.gdn.GDNTransform",
            "N": channels_n,
            "M": channels_m,
        },
        "quantizer": {"_target_": "tngexp.quantizers.mixed.Mixed"},
        "prior": prior,
        "rate": {"_target_": "tngexp.rate.fixed.FixedRate"},
    }
    return config, renames


def _needed(state_dict: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state_dict:
        raise InteropError(
            f"no '{name}' in the state dict: weights are missing, or it is of another model; "
            "supported are CompressAI's FactorizedPrior, MeanScaleHyperprior and "
            "JointAutoregressiveHierarchicalPriors"
        )
    return state_dict[name]


def _side(state_dict: Mapping[str, Tensor], name: str) -> int:
    """Output channels of a convolution."""
    weight = _needed(state_dict, name)
    if weight.dim() != 4:
        raise InteropError(f"'{name}' has the shape {tuple(weight.shape)}, not a convolution's")
    return weight.shape[0]


def _listed(names: Iterable[str], renames: Mapping[str, str]) -> str:
    """Our names as CompressAI has them, the first few."""
    back = sorted(renames.items(), key=lambda pair: -len(pair[1]))
    theirs = sorted(
        next((old + n.removeprefix(new) for old, new in back if n.startswith(new)), n)
        for n in names
    )
    return ", ".join(theirs[:3]) + (f" and {len(theirs) - 3} more" if len(theirs) > 3 else "")


def _rename(state_dict: Mapping[str, Tensor], renames: Mapping[str, str]) -> dict[str, Tensor]:
    weights = {}
    for key, tensor in state_dict.items():
        if _DERIVED.search(key):
            continue
        prefix = key.partition(".")[0] + "."
        weights[renames.get(prefix, prefix) + key.removeprefix(prefix)] = tensor
    return weights


if __name__ == "__main__":
    sys.exit(main())
