"""P(symbol): bits for training, integer probabilities for coding."""

from __future__ import annotations

from tngexp.priors.base import ContextModel, Prior, Step
from tngexp.priors.checkerboard import CheckerboardContext
from tngexp.priors.conditional import ConditionalPrior
from tngexp.priors.distributions import GaussianMixture, bits
from tngexp.priors.factorized import FactorizedDensity, FactorizedPrior
from tngexp.priors.masked import MaskedContext
from tngexp.priors.none import NoContext
from tngexp.priors.quadtree import QuadtreeContext

__all__ = [
    "CheckerboardContext",
    "ConditionalPrior",
    "ContextModel",
    "FactorizedDensity",
    "FactorizedPrior",
    "GaussianMixture",
    "MaskedContext",
    "NoContext",
    "Prior",
    "QuadtreeContext",
    "Step",
    "bits",
]
