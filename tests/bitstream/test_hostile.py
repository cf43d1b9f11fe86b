"""Hostile files cost little: measured in a process of its own, where memory can be told apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import checkpoint, codec_config

from tngexp.model.codec import Codec

PROGRAM = """
import dataclasses, json, os, resource, sys, time
import tngexp
from support import photo
from tngexp.coding import BitstreamError, read, write

codec = tngexp.load(sys.argv[1])
good = codec.compress(photo(200, 100))
codec.decompress(good)  # what any decoding takes is taken now
file = read(good)
hostile = []
for side in (2048, 8192, 16384):
    tiles = (side // 2048) ** 2
    for stream in (b"", bytes(8), os.urandom(64), file.streams[0]):
        hostile.append(write(dataclasses.replace(
            file, width=side, height=side, streams=(stream,) * tiles)))
    hostile.append(write(dataclasses.replace(
        file, width=side, height=side, mode="RGBA", streams=file.streams * (tiles + 1))))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
slowest, refused = 0.0, 0
for data in hostile:
    started = time.process_time()
    try:
        codec.decompress(data)
    except BitstreamError:
        refused += 1
    slowest = max(slowest, time.process_time() - started)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([len(hostile), refused, slowest, grown / 1024]))
"""


@pytest.mark.parametrize("prior", ["factorized", "gmm", "quadtree"])
def test_hostile_sizes_are_refused_within_a_second_and_256_mib(prior: str, tmp_path: Path) -> None:
    codec = Codec.from_config(codec_config(prior=prior)).eval()
    path = checkpoint(codec, tmp_path / "codec.ckpt")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    files, refused, slowest_s, grown_mib = json.loads(result.stdout)
    assert refused == files
    assert grown_mib < 256
    assert slowest_s < 1
