"""Further full-reference metrics, those that piq computes without downloading weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tngexp.metrics.images import round_to_8_bit
from tngexp.types import ConfigError

__all__ = ["EXTRA_METRICS", "extra_metrics"]


def _piq(name: str, **options: float) -> Callable[[Tensor, Tensor], Tensor]:
    def metric(x: Tensor, x_hat: Tensor) -> Tensor:
        import piq  # half a second that few need

        value: Tensor = getattr(piq, name)(x_hat, x, data_range=1.0, **options)
        return value

    return metric


EXTRA_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # On RGB unless the metric itself converts to luma. Higher is better unless it says otherwise.
    "ssim": _piq("ssim"),  # Wang et al. 2004
    "iw_ssim": _piq("information_weighted_ssim"),  # Wang & Li 2011
    "vif": _piq("vif_p"),  # Sheikh & Bovik 2006, pixel domain
    "fsim": _piq("fsim"),  # Zhang et al. 2011
    "vsi": _piq("vsi"),  # Zhang et al. 2014
    "srsim": _piq("srsim"),  # Zhang & Li 2012
    "haarpsi": _piq("haarpsi"),  # Reisenhofer et al. 2018
    "gmsd": _piq("gmsd"),  # Xue et al. 2013; lower is better
    "ms_gmsd": _piq("multi_scale_gmsd"),  # Zhang et al. 2017; lower is better
    "mdsi": _piq("mdsi"),  # Nafchi et al. 2016; lower is better
    "dss": _piq("dss"),  # Balanov et al. 2015
}


def check_metrics(names: Sequence[str]) -> None:
    """Raise ConfigError for a name that is no key of :data:`EXTRA_METRICS`."""
    unknown = [name for name in names if name not in EXTRA_METRICS]
    if unknown:
        raise ConfigError(
            f"there is no metric called {', '.join(map(repr, unknown))}; "
            f"metrics: {', '.join(EXTRA_METRICS)}"
        )


@torch.no_grad()
def extra_metrics(x: Tensor, x_hat: Tensor, names: Sequence[str]) -> dict[str, float | None]:
    """The named metrics of one image; None where it is too small for one.

    Args:
        x: the original, (1, 3, H, W) in [0, 1].
        x_hat: the reconstruction, like ``x``; rounded to 8 bit first.
        names: keys of :data:`EXTRA_METRICS`.

    Raises:
        ConfigError: for a name that is none of them.
    """
    check_metrics(names)
    x, x_hat = round_to_8_bit(x.float()), round_to_8_bit(x_hat.float())
    values: dict[str, float | None] = {}
    for name in names:
        try:
            value = float(EXTRA_METRICS[name](x, x_hat))
        except (ValueError, RuntimeError, AssertionError):
            value = math.nan  # piq's answer to images smaller than a metric's windows
        values[name] = value if math.isfinite(value) else None
    return values
