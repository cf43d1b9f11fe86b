"""trainer=gpu, rehearsed on the CPU, and proven where there is a GPU (``pytest -m gpu``)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import needs_gpu
from torch._dynamo.exc import InternalTorchDynamoError

import tngexp
from tngexp.datasets.pack import pack_pixels
from tngexp.devices import compiling
from tngexp.devices.compiling import CompileWarning
from tngexp.runs.interrupt import Interrupted, StopRequest
from tngexp.training.engine import _fit
from tngexp.training.module import LitCodec
from tngexp.training.train import TrainResult
from tngexp.types import ConfigError

Run = Callable[..., TrainResult]
PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"
CPU = ["trainer=gpu", "trainer.accelerator=cpu", "compile=false", "trainer.precision=32-true"]


@pytest.fixture(scope="module")
def packed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "photos.safetensors"
    pack_pixels(photos, path, min_side=64)
    return path


@pytest.fixture
def tensor(tiny: list[str], packed: Path) -> list[str]:
    """In place of the folder: words that make ``tiny`` train on the packed file."""
    tiny[:] = [w for w in tiny if not w.startswith(("data.root=", "data=", "trainer.val_check"))]
    return ["data=tensor", f"data.file={packed}", "trainer.val_check_interval=100"]


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(result.last, weights_only=True)["raw_state_dict"]
    return state


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float, float]]:
    """(step, loss, learning rate) of each optimizer step."""
    found: list[tuple[int, float, float]] = []
    before = LitCodec.on_before_optimizer_step

    def noted(self: LitCodec, optimizer: torch.optim.Optimizer) -> None:
        assert self.last_terms is not None
        rate = optimizer.param_groups[0]["lr"]
        found.append((self.global_step, float(self.last_terms.loss), rate))
        before(self, optimizer)

    monkeypatch.setattr(LitCodec, "on_before_optimizer_step", noted)
    return found


def test_the_preset_sets_what_suits_a_gpu(configure: Callable[..., Any]) -> None:
    config = configure("trainer=gpu")
    assert (config.trainer.accelerator, config.compile, config.channels_last) == ("gpu", True, True)
    assert config.trainer.gradient_clip_val == 1.0  # of the default, as the rest
    assert config.trainer.log_every_n_steps == 1  # what the command line says goes on acting
    assert not configure("trainer=gpu", "compile=false").compile


def test_without_a_gpu_it_is_one_message(
    command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    code, err = command("trainer=gpu", "run_dir=here")
    assert code == 2
    assert err.startswith("error: trainer.accelerator=gpu: there is no such device")
    assert err.count("\n") == 1
    assert not (tmp_path / "here" / "checkpoints").exists()


def test_off_the_device_the_run_is_that_of_the_folder(
    run: Run, tiny: list[str], photos: Path, packed: Path, seen: list[Any]
) -> None:
    exact = ["trainer.precision=32-true", "trainer.max_steps=3"]
    folder = run(*exact, name="folder")
    expected = list(seen)
    seen.clear()
    kept = [word for word in tiny if not word.startswith(("data.root=", "data="))]
    tiny[:] = [*kept, "data=tensor", f"data.file={packed}"]
    off = run(*exact, "data.on_device=false", name="off")
    assert seen == expected
    assert off.val == folder.val
    seen.clear()
    on = run(*exact, "data.on_device=true", name="on")
    assert [loss for _, loss, _ in seen] == pytest.approx([x for _, x, _ in expected], rel=1e-2)
    assert seen != expected
    assert on.images == folder.images


def call() -> tuple[str, str]:
    """What ``call.sh`` of the page does before it trains, and afterwards."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if "timeout" in block]
    before, after = re.split(r"^timeout (?:.*\\\n)+.*\n", block, flags=re.MULTILINE)
    return before, f"set -eo pipefail\n{after}"


def shell(script: str, folder: Path) -> None:
    subprocess.run(["bash", "-c", script], cwd=folder, check=True)


def in_calls(run: Run, words: list[str], stops: list[int], folder: Path) -> TrainResult:
    """A run that is stopped after some of its steps, and whose folder is lost each time."""
    before, after = call()
    assert "-b 16M" in after
    last = folder / "outputs/tng/checkpoints/last.ckpt"
    begin = LitCodec.on_train_batch_start
    for at in [*stops, None]:
        shell(before, folder)
        resume = [f"resume={last}"] if last.exists() else []
        assert bool(resume) == (at != stops[0])
        stop = StopRequest()

        def stopping(
            self: LitCodec, batch: Any, idx: int, stop: StopRequest = stop, at: int | None = at
        ) -> None:
            if self.global_step + 1 == at:
                stop.set(15)
            begin(self, batch, idx)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LitCodec, "on_train_batch_start", stopping)
            if at is None:
                return run(*words, *resume, name="outputs/tng", stop=stop)
            with pytest.raises(Interrupted) as info:
                run(*words, *resume, name="outputs/tng", stop=stop)
            assert info.value.step == at
        shell(after.replace("-b 16M", "-b 64K"), folder)
        pieces = sorted((folder / "STATE").glob("state.*"))
        assert len(pieces) > 1
        assert all(piece.stat().st_size <= 64 * 2**10 for piece in pieces)
        shutil.rmtree(folder / "outputs")
    raise AssertionError


SCHEDULED = ["quantizer=soft_round", "scheduler.decay_start=0.3", "trainer.max_steps=6"]


def test_three_calls_from_pieces_are_one_run(
    run: Run, tensor: list[str], seen: list[Any], tmp_path: Path
) -> None:
    words = [*CPU, *tensor, *SCHEDULED, "data.on_device=true"]
    whole = run(*words, name="whole")
    expected = list(seen)
    assert [step for step, _, _ in expected] == list(range(6))
    assert expected[-1][2] < 0.3 * max(lr for _, _, lr in expected)  # decayed
    seen.clear()
    rest = in_calls(run, words, [2, 4], tmp_path)
    assert seen == expected
    one, two = weights(whole), weights(rest)
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert rest.val == whole.val


def test_pieces_that_were_damaged_end_the_call(tmp_path: Path) -> None:
    before, after = call()
    (tmp_path / "outputs" / "tng").mkdir(parents=True)
    (tmp_path / "outputs" / "tng" / "log").write_text("kept")
    shell(after, tmp_path)
    shutil.rmtree(tmp_path / "outputs")
    shell(before, tmp_path)
    assert (tmp_path / "outputs" / "tng" / "log").read_text() == "kept"
    piece = tmp_path / "STATE" / "state.0000"
    piece.write_bytes(piece.read_bytes().replace(b"kept", b"lost"))
    with pytest.raises(subprocess.CalledProcessError):
        shell(before, tmp_path)
    (tmp_path / "outputs" / "tng" / "log").unlink()
    (tmp_path / "outputs" / "tng").rmdir()
    with pytest.raises(subprocess.CalledProcessError):
        shell(after, tmp_path)  # there is nothing to save
    assert piece.exists()


def test_a_machine_without_compiler_goes_on_and_says_so(
    run: Run, tensor: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(function: object) -> object:
        raise RuntimeError("No C++ compiler found\nlong explanation")

    monkeypatch.setattr(compiling.torch, "compile", missing)
    with pytest.warns(CompileWarning, match=r"\(No C\+\+ compiler found\).*goes on without it"):
        result = run("compile=true", *tensor, "trainer.max_steps=1")
    assert result.steps == 1


def test_a_compilation_that_fails_in_a_run_is_one_message() -> None:
    def fit(*_: Any, **__: Any) -> None:
        raise InternalTorchDynamoError("x.so: file too short\nmuch more")

    trainer: Any = SimpleNamespace(fit=fit)
    nothing: Any = None
    with pytest.raises(ConfigError, match=r"\(x\.so: file too short\).*TORCHINDUCTOR") as info:
        _fit(trainer, nothing, nothing, None, nothing)
    assert "\n" not in str(info.value)


@needs_gpu
def test_a_compiled_step_on_a_gpu(run: Run, tensor: list[str], seen: list[Any]) -> None:
    result = run("trainer=gpu", *tensor, "model=tng", "encoder.N=24", "encoder.M=16")
    assert result.steps == 2
    assert all(loss == loss for _, loss, _ in seen)
    assert tngexp.load(result.best) is not None


@needs_gpu
def test_three_calls_from_pieces_on_a_gpu(run: Run, tensor: list[str], tmp_path: Path) -> None:
    words = ["trainer=gpu", "compile=false", *tensor, *SCHEDULED]
    whole, rest = run(*words, name="whole"), in_calls(run, words, [2, 4], tmp_path)
    assert rest.steps == 6
    # A GPU may add gradients in another order each time.
    one, two = (torch.cat([v.flatten() for v in weights(r).values()]) for r in (whole, rest))
    assert (one - two).norm() <= 1e-2 * one.norm()
