"""P(symbol): what is coded in which order, under which distribution."""

from __future__ import annotations

from tngexp.priors.base import ContextModel, Prior
from tngexp.priors.channel import ChannelContext
from tngexp.priors.checkerboard import CheckerboardContext
from tngexp.priors.conditional import ConditionalPrior
from tngexp.priors.distributions import Mixture, bits
from tngexp.priors.factorized import FactorizedDensity, FactorizedPrior
from tngexp.priors.masked import MaskedContext
from tngexp.priors.none import NoContext
from tngexp.priors.ports import Count, Hard, Port, Relaxed, Site
from tngexp.priors.quadtree import QuadtreeContext
from tngexp.priors.steps import Step

__all__ = [
    "ChannelContext",
    "CheckerboardContext",
    "ConditionalPrior",
    "ContextModel",
    "Count",
    "FactorizedDensity",
    "FactorizedPrior",
    "Hard",
    "MaskedContext",
    "Mixture",
    "NoContext",
    "Port",
    "Prior",
    "QuadtreeContext",
    "Relaxed",
    "Site",
    "Step",
    "bits",
]
