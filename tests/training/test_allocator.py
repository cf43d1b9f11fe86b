"""Freed memory stays in the process where glibc can be told so, and nothing happens elsewhere."""

from __future__ import annotations

import ctypes
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tngexp.devices.allocator import keep_freed_memory, return_freed_memory
from tngexp.training.train import TrainResult

needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="needs glibc 2.33 or newer, which tells what the allocator holds",
)

# Printed for each state of the thresholds: how many blocks were mapped for an allocation of
# 256 MiB, and how many MiB of heap are left over once it is freed.
PROBE = """
import ctypes, json
from tngexp.devices.allocator import keep_freed_memory, return_freed_memory

class Mallinfo2(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    _fields_ = [(name, ctypes.c_size_t) for name in names]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo2
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def probe():
    before = libc.mallinfo2().hblks
    block = libc.malloc(256 << 20)
    mapped = libc.mallinfo2().hblks - before
    libc.free(block)
    return mapped, libc.mallinfo2().fordblks >> 20

assert keep_freed_memory()
kept = probe()
assert return_freed_memory()
print(json.dumps([kept, probe()]))
"""


@needs_glibc
def test_large_blocks_are_reused_until_told_otherwise() -> None:
    # In a process of its own: what other tests left on the heap would blur the figures.
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60
    )
    (mapped, left), (mapped_after, left_after) = json.loads(done.stdout)
    assert mapped == 0
    assert left >= 256
    assert mapped_after == 1
    assert left_after < 64


@needs_glibc
def test_a_training_keeps_freed_memory(
    run: Callable[..., TrainResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]

    def mapped() -> bool:
        """Whether 768 MiB, larger than any hole that other tests left, get a mapping of their own:
        glibc notes that in the bit IS_MMAPPED of the size that stands before a block."""
        block = libc.malloc(768 << 20)
        size = ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value
        libc.free(block)
        return bool(size & 2)

    assert return_freed_memory()
    assert mapped()
    try:
        run("trainer.max_steps=1")
        assert not mapped()
    finally:
        return_freed_memory()


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))

    def refuse(*_: Any) -> None:
        raise AssertionError("looked for a C library")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not keep_freed_memory()
    assert not return_freed_memory()
