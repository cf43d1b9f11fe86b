"""What making a page and reading its results share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tngexp.anchors import ANCHORS, anchor
from tngexp.schema.measuring import StudyConf, checked
from tngexp.types import ConfigError

__all__ = ["AMONG_CODECS", "connected", "label_of", "plain_options"]

AMONG_CODECS = "{} (anchor)"
"""Label of an anchor where a trained codec has the anchor's own."""


def plain_options(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """``conf/study.yaml`` as plain data, defaults filled in.

    Raises:
        ConfigError: for an unknown option or a value of a wrong type.
    """
    node = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return checked({str(key): value for key, value in plain.items()}, StudyConf)


def label_of(wanted: str, labels: Sequence[str], notes: Sequence[str] = ()) -> str:
    """The label that ``reference=`` means: itself, or that of the anchor of this name.

    Args:
        wanted: a label, or a name as in ``anchors=``.
        labels: of the codecs there are.
        notes: what was left out, and why.

    Raises:
        ConfigError: where no codec is called so.
    """
    called = [wanted]
    if wanted in ANCHORS:
        label = anchor(wanted).label
        called += [AMONG_CODECS.format(label), label]
    found = next((label for label in called if label in labels), None)
    if found is None:
        raise ConfigError(
            f"reference={wanted} is none of the codecs: {', '.join(labels)}"
            + "".join(f" ({note})" for note in notes)
        )
    return found


def connected(labels: Sequence[str], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Labels in groups that links hold together, each in the order of ``labels``."""
    group = {label: {label} for label in labels}
    for one, other in links:
        if group[one] is not group[other]:
            group[one] |= group[other]
            for label in group[other]:
                group[label] = group[one]
    distinct = {id(members): members for members in group.values()}.values()
    return [[label for label in labels if label in members] for members in distinct]
