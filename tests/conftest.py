"""Fixtures that all rooms' tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import codec_config

from tngexp.codec import Codec


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers."""
    torch.manual_seed(0)


@pytest.fixture
def make_codec() -> Callable[..., Codec]:
    def make(**choices: Any) -> Codec:
        return Codec.from_config(codec_config(**choices))

    return make
