"""Fixtures that all rooms' tests share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support import codec_config

from tngexp.codec import Codec


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def plain_logging() -> Iterator[None]:
    """Hydra's handlers hold the standard streams of the test they were made in."""
    yield
    for handler in logging.root.handlers[:]:
        if type(handler) in (logging.StreamHandler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()  # the file, not a standard stream


@pytest.fixture
def make_codec() -> Callable[..., Codec]:
    def make(**choices: Any) -> Codec:
        return Codec.from_config(codec_config(**choices))

    return make
