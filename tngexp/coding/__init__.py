"""Symbols ↔ bytes: integer probabilities, the entropy coder, the ``.tng`` container."""

from __future__ import annotations

from tngexp.coding.codebook import codebook_tables
from tngexp.coding.coder import Decoder, Encoder, symbols_checksum
from tngexp.coding.container import (
    Container,
    fingerprint,
    index_to_quality,
    quality_to_index,
    read,
    write,
)
from tngexp.coding.errors import BitstreamError
from tngexp.coding.families import FAMILIES
from tngexp.coding.parameters import Parameters, mixture_parameters
from tngexp.coding.probability import (
    LOCATION_GRID,
    PRECISION,
    Tables,
    build_tables,
    quantize_edges,
    quantize_means,
    quantize_scales,
    quantize_weights,
    weights_from_logits,
)

__all__ = [
    "FAMILIES",
    "LOCATION_GRID",
    "PRECISION",
    "BitstreamError",
    "Container",
    "Decoder",
    "Encoder",
    "Parameters",
    "Tables",
    "build_tables",
    "codebook_tables",
    "fingerprint",
    "index_to_quality",
    "mixture_parameters",
    "quality_to_index",
    "quantize_edges",
    "quantize_means",
    "quantize_scales",
    "quantize_weights",
    "read",
    "symbols_checksum",
    "weights_from_logits",
    "write",
]
