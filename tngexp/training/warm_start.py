"""Starting from another training's weights, all of them or those of some parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from tngexp import zoo
from tngexp.model.files import read_checkpoint
from tngexp.model.objective import Objective, objective
from tngexp.rate import VariableRate
from tngexp.runs.checkpoint_io import architecture_difference, architecture_options
from tngexp.training.parts import check_parts, inside
from tngexp.types import CheckpointError, ConfigError

__all__ = ["ALL", "WarmStart", "warm_start"]

ALL = ("all",)
"""What ``init_parts`` is unless parts are named."""

_PREFIX = "codec."
_GAINS = ("rate.log_gain_encoder", "rate.log_gain_decoder")


class WarmStart(NamedTuple):
    """What of a codec came from a checkpoint."""

    taken: int  # tensors
    total: int
    parts: tuple[str, ...]  # asked for; empty for all
    new: tuple[str, ...]  # the parts that start as they were made
    gains: str | None  # what was done to gain vectors of another range of λ, in words

    def __str__(self) -> str:
        of = f" ({', '.join(self.parts)})" if self.parts else ""
        new = f"new: {', '.join(self.new)}" if self.new else "nothing is new"
        text = f"{self.taken} of {self.total} tensors{of}, {new}"
        return f"{text}; {self.gains}" if self.gains else text


def warm_start(
    codec: nn.Module,
    path: Path,
    config: Mapping[str, Any],
    parts: Sequence[str],
    wanted: Objective,
) -> WarmStart:
    """Copy averaged weights of the checkpoint ``path`` into ``codec``.

    Names and shapes decide what fits, not options: a codec may change its quantizer and keep all
    weights. Gain vectors are carried over to another range of λ, or number of levels.

    Args:
        codec: newly built.
        path: a checkpoint or weights file.
        config: description of ``codec``.
        parts: modules to take, ``ALL`` for everything.
        wanted: what the codec will be trained for.

    Raises:
        ConfigError: for a part that the codec does not have.
        CheckpointError: naming the options that differ where the weights do not fit.
    """
    everything = tuple(parts) == ALL
    if not everything:
        if not parts:
            raise ConfigError("init_parts=[] takes nothing; name parts, or leave it out for all.")
        check_parts(codec, parts, "init_parts")
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(f"init_from: {error}") from error
    stored: dict[str, Tensor] = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    own = codec.state_dict()
    if everything:
        if misfits := _misfits(codec, own, stored):
            raise _refusal(path, codec, checkpoint, config, misfits, _fitting(codec, own, stored))
    else:
        for part in parts:
            of_part = [{n: t for n, t in s.items() if inside(n, [part])} for s in (own, stored)]
            if misfits := _misfits(codec, *of_part):
                raise _refusal(path, codec, checkpoint, config, misfits, part=part)
    taken = {name: t for name, t in stored.items() if everything or inside(name, parts)}
    gains, rate = None, getattr(codec, "rate", None)
    if isinstance(rate, VariableRate) and taken.keys() >= set(_GAINS):
        before = objective(checkpoint["tngexp"])
        gains = _take_gains(rate, [taken[name] for name in _GAINS], before, wanted)
        taken |= {name: codec.state_dict()[name] for name in _GAINS}
    codec.load_state_dict(own | taken)
    new = tuple(_new(codec, "", taken.keys()))
    return WarmStart(len(taken), len(own), () if everything else tuple(parts), new, gains)


def _misfits(
    codec: nn.Module, own: Mapping[str, Tensor], stored: Mapping[str, Tensor]
) -> list[str]:
    """Tensors of the one that the other has not in the same shape, one line each."""
    lines = []
    for name in sorted(own.keys() | stored.keys()):
        there, here = (tuple(s[name].shape) if name in s else None for s in (stored, own))
        variable = isinstance(getattr(codec, "rate", None), VariableRate) and name in _GAINS
        if variable and there and here and len(there) == 2 and there[0] >= 2:
            there, here = there[1:], here[1:]  # levels can be interpolated
        if there != here:
            lines.append(f"{name}: {there or 'absent'} in the checkpoint, {here or 'absent'} now")
    return lines


def _fitting(
    codec: nn.Module, own: Mapping[str, Tensor], stored: Mapping[str, Tensor]
) -> list[str]:
    """The parts, of the first level, that fit by themselves."""
    found = []
    for part, _ in codec.named_children():
        of_part = [{n: t for n, t in s.items() if inside(n, [part])} for s in (own, stored)]
        if of_part[0] and not _misfits(codec, *of_part):
            found.append(part)
    return found


def _refusal(
    path: Path,
    codec: nn.Module,
    checkpoint: Mapping[str, Any],
    config: Mapping[str, Any],
    misfits: list[str],
    fitting: Sequence[str] = (),
    part: str | None = None,
) -> CheckpointError:
    stored = checkpoint["tngexp"]["codec"]
    reasons = architecture_difference(stored, config)
    box = None if part is None else part.partition(".")[0]
    options = architecture_options(stored, config, box)
    if box is not None:
        group = box.replace("transform", "encoder")
        reasons = [line for line in reasons if line.startswith((f"{group}.", f"{group}:"))]
    elif shipped := zoo.name_at(path):
        options = [f"model={zoo.codec(shipped).preset} as it is"]
    said = f" ({' '.join(options)})" if options else ""
    listed = "\n  ".join(reasons or misfits[:4])
    if part is not None:
        return CheckpointError(
            f"init_from={path}: the checkpoint's {part} does not fit this codec's:\n  {listed}\n"
            f"Choose the same options as it was trained with{said}, or leave {part} out of "
            "init_parts."
        )
    some = f", or take what fits with init_parts=[{','.join(fitting)}]" if fitting else ""
    return CheckpointError(
        f"init_from={path}: the checkpoint has another architecture:\n  {listed}\n"
        f"Choose the same components as it was trained with{said}, or another checkpoint{some}."
    )


def _take_gains(
    rate: VariableRate, stored: Sequence[Tensor], before: Objective | None, wanted: Objective
) -> str | None:
    """Make ``stored`` gains those of ``rate``, for the range of λ it is to be trained for."""
    rate.log_gain_encoder, rate.log_gain_decoder = (nn.Parameter(t.clone()) for t in stored)
    levels = len(stored[0])
    old, new = before.range if before else None, wanted.range
    assert new is not None  # a loss has a range
    if old is None or all(math.isclose(a, b) for a, b in zip(old, new, strict=True)):
        if levels == rate.levels:
            return None
        rate.rescale(new, new)
        return f"gain vectors interpolated from {levels} to {rate.levels} levels"
    if not _comparable(before, wanted):
        if levels != rate.levels:
            rate.rescale(new, new)
        return "gain vectors kept as they are, their λ being that of another distortion"
    rate.rescale(old, new)
    return (
        f"gain vectors interpolated from λ {old[0]:g} … {old[1]:g} ({levels} levels) "
        f"to {new[0]:g} … {new[1]:g} ({rate.levels} levels)"
    )


def _comparable(before: Objective | None, wanted: Objective) -> bool:
    """Whether λ of the two mean the same.

    Weights files of earlier versions do not tell their distortion; the ladders of 255²·MSE and
    1 − MS-SSIM are three decades apart, so ranges that meet are taken to be of one.
    """
    if before is None or before.range is None or wanted.range is None:
        return False
    if before.distortion is not None:
        return before.distortion == wanted.distortion
    return before.range[0] < wanted.range[1] and wanted.range[0] < before.range[1]


def _new(module: nn.Module, name: str, taken: Any) -> list[str]:
    """The largest parts of ``module`` of which nothing is among ``taken``."""
    prefix = f"{name}." if name else ""
    state = [f"{prefix}{key}" for key in module.state_dict()]
    if all(key in taken for key in state):
        return []
    if name and not any(key in taken for key in state):
        return [name]
    return [part for child, m in module.named_children() for part in _new(m, prefix + child, taken)]
