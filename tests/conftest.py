"""Fixtures that tests of all packages share."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support import codec_config

from tngexp.model.codec import Codec


def pytest_configure(config: pytest.Config) -> None:
    """Have Ctrl-C where the shell took it away: a suite started in the background ignores it, and
    with it what tests of interruption send. Of several workers, each keeps to one core."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
