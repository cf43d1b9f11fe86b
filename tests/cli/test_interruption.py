"""What stopping the tool leaves behind: whole files or none, and the way on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import photo

Tool = Callable[..., Any]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_interruption_leaves_nothing_half_done(
    tng: Tool,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException],
    moment: str,
) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    (tmp_path / "a.tng").write_bytes(b"old")

    def interrupted(*_: object) -> None:
        raise stop

    owner = "os.fsync" if moment == "fsync" else "pathlib.Path.replace"
    with monkeypatch.context() as patch:
        patch.setattr(owner, interrupted)
        result = tng("compress", tmp_path / "a.png", "--model", model, "--force")
    assert result.code == (130 if stop is KeyboardInterrupt else 2)
    assert sorted(os.listdir(tmp_path)) == ["a.png", "a.tng"]
    assert (tmp_path / "a.tng").read_bytes() == b"old"


def test_an_interrupted_batch_continues(
    tng: Tool, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        photo(9, 9).save(tmp_path / f"{name}.png")
    fsync, calls = os.fsync, []

    def second_fails(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", second_fails)
        result = tng("compress", tmp_path, "--model", model)
    assert result.code == 130
    assert "1 of 3 files compressed; the same command continues" in result.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.tng", "b.png", "c.png"]
    result = tng("compress", tmp_path, "--model", model)
    assert (result.code, "2 files compressed, 1 skipped" in result.err) == (0, True)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_termination_removes_the_partial_file(
    tng: Tool, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    signum = getattr(signal, name)
    photo(9, 9).save(tmp_path / "a.png")
    # A test that fails is not to end all tests.
    before = signal.signal(signum, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: os.kill(os.getpid(), signum))
        result = tng("compress", tmp_path / "a.png", "--model", model)
    assert signal.signal(signum, before) is signal.default_int_handler
    assert result.code == 128 + signum
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_terminal_that_closes_below_nohup_ends_nothing(
    tng: Tool, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: os.kill(os.getpid(), signal.SIGHUP))
        result = tng("compress", tmp_path / "a.png", "--model", model)
    assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN
    assert result.code == 0
