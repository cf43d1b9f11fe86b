"""Further full-reference metrics, by name.

docs/reference/metrics.md says what each is good for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from tngexp.metrics import perceptual
from tngexp.metrics.images import round_to_8_bit
from tngexp.metrics.sliced_wasserstein import swd, swd_fine
from tngexp.types import ConfigError

__all__ = ["EXTRA_METRICS", "Metric", "check_metrics", "extra_metrics"]

Measure = Callable[[Tensor, Tensor], Tensor]


class Metric(NamedTuple):
    """A full-reference metric and how to read it."""

    measure: Measure  # of the original and the decoded picture; NaN for one that is too small
    higher_is_better: bool = True
    lacks: Callable[[], str | None] = lambda: None  # what is to be installed, None for nothing


def _piq(name: str) -> Measure:
    def metric(x: Tensor, x_hat: Tensor) -> Tensor:
        import piq  # half a second that few need

        try:
            value: Tensor = getattr(piq, name)(x_hat, x, data_range=1.0)
        except (ValueError, RuntimeError, AssertionError):
            value = x.new_tensor(math.nan)  # its answer to images smaller than a metric's windows
        return value

    return metric


_package, _weights = perceptual.lacks_package, perceptual.lacks_weights

EXTRA_METRICS: dict[str, Metric] = {
    # On RGB unless the metric itself converts to luma.
    "ssim": Metric(_piq("ssim")),  # Wang et al. 2004
    "iw_ssim": Metric(_piq("information_weighted_ssim")),  # Wang & Li 2011
    "vif": Metric(_piq("vif_p")),  # Sheikh & Bovik 2006, pixel domain
    "fsim": Metric(_piq("fsim")),  # Zhang et al. 2011
    "vsi": Metric(_piq("vsi")),  # Zhang et al. 2014
    "srsim": Metric(_piq("srsim")),  # Zhang & Li 2012
    "haarpsi": Metric(_piq("haarpsi")),  # Reisenhofer et al. 2018
    "gmsd": Metric(_piq("gmsd"), higher_is_better=False),  # Xue et al. 2013
    "ms_gmsd": Metric(_piq("multi_scale_gmsd"), higher_is_better=False),  # Zhang et al. 2017
    "mdsi": Metric(_piq("mdsi"), higher_is_better=False),  # Nafchi et al. 2016
    "dss": Metric(_piq("dss")),  # Balanov et al. 2015
    "swd": Metric(swd, higher_is_better=False),  # Karras et al. 2018
    "swd_fine": Metric(swd_fine, higher_is_better=False),
    "ssimulacra2": Metric(perceptual.ssimulacra2, lacks=partial(_package, "ssimulacra2")),
    "cvvdp": Metric(perceptual.cvvdp, lacks=partial(_package, "pycvvdp")),
    "lpips": Metric(perceptual.lpips, False, partial(_weights, "LPIPS")),
    "dists": Metric(perceptual.dists, False, partial(_weights, "DISTS")),
}


def check_metrics(names: Sequence[str]) -> None:
    """Raise ConfigError for a metric that does not exist or cannot be measured here."""
    unknown = [name for name in names if name not in EXTRA_METRICS]
    if unknown:
        raise ConfigError(
            f"there is no metric called {', '.join(map(repr, unknown))}; "
            f"metrics: {', '.join(EXTRA_METRICS)}"
        )
    for name in names:
        if missing := EXTRA_METRICS[name].lacks():
            raise ConfigError(f"metrics={name} {missing}")


@torch.no_grad()
def extra_metrics(x: Tensor, x_hat: Tensor, names: Sequence[str]) -> dict[str, float | None]:
    """The named metrics of one image; None where it is too small for one.

    Args:
        x: the original, (1, 3, H, W) in [0, 1].
        x_hat: the reconstruction, like ``x``; rounded to 8 bit first.
        names: keys of :data:`EXTRA_METRICS`.

    Raises:
        ConfigError: for a name that is none of them, or a metric whose package or weights are not
            there.
    """
    check_metrics(names)
    x, x_hat = round_to_8_bit(x.float()), round_to_8_bit(x_hat.float())
    values: dict[str, float | None] = {}
    for name in names:
        value = float(EXTRA_METRICS[name].measure(x, x_hat))
        values[name] = value if math.isfinite(value) else None
    return values
