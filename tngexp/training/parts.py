"""Parts of a codec, named by their modules: what a training takes over or leaves alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tngexp.common.options import did_you_mean
from tngexp.types import ConfigError

__all__ = ["check_parts", "freeze", "inside", "parameters_of", "part_names"]


def part_names(value: object, option: str) -> tuple[str, ...]:
    """``prior`` or ``[transform, rate]`` as a tuple of names, not yet checked against a codec.

    Raises:
        ConfigError: for anything else.
    """
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"{option}={value!r} must be a list of parts of the codec, e.g. {option}=[transform]."
        )
    return tuple(dict.fromkeys(names))


def check_parts(codec: nn.Module, names: Sequence[str], option: str) -> None:
    """Raise ConfigError unless each of ``names`` is a module of ``codec``."""
    known = [name for name, _ in codec.named_modules() if name]
    for name in names:
        if name not in known:
            # Two levels name what there is to choose from; layers below are valid, too.
            listed = [part for part in known if part.count(".") < 2]
            wanted = name.replace("encoder", "transform", 1)
            hint = f" Did you mean '{wanted}'?" if wanted in known else did_you_mean(name, listed)
            raise ConfigError(
                f"{option}: the codec has no part '{name}'.{hint} Parts: {', '.join(listed)}."
            )


def inside(name: str, parts: Sequence[str]) -> bool:
    """Whether a parameter or buffer called ``name`` belongs to one of ``parts``."""
    return any(name.startswith(f"{part}.") for part in parts)


def parameters_of(codec: nn.Module, parts: Sequence[str]) -> dict[str, nn.Parameter]:
    """The parameters of ``parts``, by name."""
    return {name: p for name, p in codec.named_parameters() if inside(name, parts)}


def freeze(codec: nn.Module, parts: Sequence[str]) -> str | None:
    """Stop ``parts`` from being trained; what was frozen in words, None for nothing.

    Raises:
        ConfigError: for an unknown part, one without parameters, or when nothing is left to train.
    """
    check_parts(codec, parts, "freeze")
    for part in parts:
        if not parameters_of(codec, [part]):
            raise ConfigError(
                f"freeze: {part} has no parameters, so there is nothing to freeze; leave it out."
            )
    frozen = parameters_of(codec, parts)
    total = sum(p.numel() for p in codec.parameters())
    count = sum(p.numel() for p in frozen.values())
    if count == total:
        free = [name for name, _ in codec.named_children() if parameters_of(codec, [name])]
        raise ConfigError(
            f"freeze=[{','.join(parts)}] leaves nothing to train; leave out one of "
            f"{', '.join(free)}."
        )
    for parameter in frozen.values():
        parameter.requires_grad_(False)
    codec.train(codec.training)  # a codec may have a mode of its own for what is frozen
    return f"{', '.join(parts)}: {count:,} of {total:,} parameters" if parts else None
