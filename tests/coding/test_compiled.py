"""The compiled loops: the same bytes for ever and on every processor, and when they are made.

A test runs this file alone, without what other tests share.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from tngexp.coding import (
    Decoder,
    Encoder,
    build_tables,
)

MAX = 1 << 20
GOLDEN = (
    "81a60e4034ec016143d2eefff95ef2cc32f6aa8a363bb80fdd8694f26f2d7ba2d0e1feff0f37ae31204404b9d018e78f"
    "c80a9497b7674893ff2d68d87e"
)


def test_golden_bytes():
    """Files written today decode for ever: change these bytes only with the format version."""
    rng = np.random.RandomState(0)  # the legacy generator's stream is frozen by numpy's policy
    scale = rng.randint(0, 120, (24, 3), np.int64)
    mean = rng.randint(-300, 300, (24, 3), np.int64)
    weight = np.array([[60000, 5000, 536]] * 24)
    symbols = rng.randint(-2, 3, 24, np.int64)
    symbols[5], symbols[11] = -MAX, 9000
    encoder = Encoder()
    encoder.mixture(symbols, scale, mean, weight)
    channels, tables = np.arange(24) % 2, build_tables([[0.5, 0.5], [1.0]], [0, -1], 0.1, 0.2)
    encoder.table(symbols, channels, tables)
    encoder.centers(np.arange(24) % 4, [-200, 0, 130], scale, mean, weight)
    assert encoder.finish().hex() == GOLDEN
    decoder = Decoder(bytes.fromhex(GOLDEN))
    np.testing.assert_array_equal(decoder.mixture(scale, mean, weight), symbols)
    np.testing.assert_array_equal(decoder.table(channels, tables), symbols)
    centers = decoder.centers([-200, 0, 130], scale, mean, weight)
    np.testing.assert_array_equal(centers, np.arange(24) % 4)
    decoder.finish()


def test_numba_is_imported_only_when_something_is_coded():
    code = "import sys, tngexp.coding; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_first_compile_is_announced_and_writes_the_same_bytes_for_any_processor(tmp_path):
    code = (
        "import importlib.util as u;"
        f"s = u.spec_from_file_location('t', {__file__!r});"
        "t = u.module_from_spec(s); s.loader.exec_module(t);"
        "t.Encoder(); t.test_golden_bytes()"
    )
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
    }
    for expected in (1, 0):  # the second process finds the cache
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("compiling the entropy coder") == expected
