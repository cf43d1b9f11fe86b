"""One model on many devices: which process this is, and what the processes agree on.

Processes come from torchrun, from Slurm (``srun`` with several tasks), or from
:func:`started_processes`, which starts the missing ones on this machine. They all get the same
resolved configuration, so nothing depends on how the command line was read.

``torch.distributed.launcher.elastic_launch`` would start every rank in a process of its own. Here
the first rank is the caller's process: it holds the open logger and the callback for the result,
and Ctrl-C, a stop request and the exit code reach it as in a training on one device.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import (
    LightningEnvironment,
    find_free_network_port,
)
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from tngexp.schema.trainer import TrainerConf
from tngexp.types import ConfigError, TngexpError

__all__ = [
    "Processes",
    "agreed",
    "end_with",
    "mean_over_processes",
    "processes",
    "silence",
    "started_processes",
]

_GRACE_S = 20.0  # for the other processes to end by themselves
_STUCK_S = 60.0  # for this process to notice that another has failed; closing a log takes time


class Processes(NamedTuple):
    """The processes of one training, seen from one of them."""

    rank: int
    world_size: int
    devices: int | list[int] | str  # of this machine, as Lightning takes them
    num_nodes: int
    strategy: Any  # as Lightning takes it
    environment: ClusterEnvironment | None  # None: one process, and Lightning's default
    start: bool  # whether this process has to start the others

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, logs and prints."""
        return self.rank == 0


def processes(settings: TrainerConf, accelerator: str) -> Processes:
    """What ``trainer.devices``, ``num_nodes`` and the environment say together.

    Raises:
        ConfigError: when they contradict each other.
    """
    devices, nodes = settings.devices, settings.num_nodes
    count = _count(devices, accelerator)
    started = "LOCAL_RANK" in os.environ and "_TNGEXP_FIRST_PROCESS" in os.environ
    environment: ClusterEnvironment | None = None
    if started:
        rank, world = int(os.environ["LOCAL_RANK"]), count
        environment = LightningEnvironment()
    elif TorchElasticEnvironment.detect():
        environment = TorchElasticEnvironment()
        rank, world = environment.global_rank(), environment.world_size()
        local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        if devices in ("auto", -1):
            # As torchrun says; the node count follows, so trainer=ddp alone is enough.
            devices, count, nodes = local, local, world // local
        _same("torchrun", world, count, nodes)
    elif int(os.environ.get("SLURM_NTASKS", 1)) > 1 and count * nodes > 1:
        # Requeueing is ours (hydra/launcher=tng_slurm): Lightning's would save a second checkpoint.
        try:
            environment = SLURMEnvironment(auto_requeue=False)
        except RuntimeError as error:
            raise ConfigError(
                "training on several devices of a Slurm job needs #SBATCH --ntasks-per-node, "
                "not --ntasks alone."
            ) from error
        rank, world = environment.global_rank(), environment.world_size()
        _same("Slurm", world, count, nodes)
    else:
        rank, world = 0, count * nodes
        if nodes > 1:
            raise ConfigError(
                f"trainer.num_nodes={nodes} needs a process on every machine: start the same "
                "command on each with torchrun --nnodes, or in a Slurm job with srun."
            )
        if "SLURM_NTASKS" in os.environ or world > 1:
            environment = LightningEnvironment()
    strategy = settings.strategy or "auto"
    if strategy == "auto":
        strategy = "ddp" if world > 1 else "auto"
    elif world == 1 and str(strategy).startswith("ddp"):
        strategy = "auto"  # trainer=ddp on a machine with one device
    start = world > 1 and isinstance(environment, LightningEnvironment) and not started
    if world > 1:
        _refuse_sweep_in_process()
    return Processes(rank, world, devices, nodes, strategy, environment, start)


def _count(devices: int | list[int] | str, accelerator: str) -> int:
    if isinstance(devices, list):
        return len(devices)
    if devices in ("auto", -1):
        return max(1, torch.cuda.device_count()) if accelerator in ("cuda", "gpu") else 1
    assert isinstance(devices, int)  # checked by the settings
    return devices


def _same(who: str, world: int, devices: int, nodes: int) -> None:
    if world != devices * nodes:
        raise ConfigError(
            f"{who} started {world} processes, but trainer.devices × trainer.num_nodes is "
            f"{devices} × {nodes}; set them to the number per machine and of machines "
            "(trainer=ddp follows torchrun by itself)."
        )


def _refuse_sweep_in_process() -> None:
    # The engine runs without Hydra; only where Hydra runs can there be a sweep.
    hydra = sys.modules.get("hydra.core.hydra_config")
    if hydra is None or not hydra.HydraConfig.initialized():
        return
    context = hydra.HydraConfig.get()
    in_process = str(context.launcher.get("_target_", "")).endswith("BasicLauncher")
    if context.mode is not None and context.mode.name == "MULTIRUN" and in_process:
        raise ConfigError(
            "a sweep (-m) in one process cannot train on several devices: its jobs would share "
            "one process group. Add hydra/launcher=joblib hydra.launcher.n_jobs=1 or "
            "hydra/launcher=submitit_local, or start each job with torchrun."
        )


def silence() -> None:
    """Drop what this process prints from now on: the first process prints the same."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open to the end)


@contextmanager
def started_processes(team: Processes, config: Mapping[str, Any]) -> Iterator[None]:
    """Start the other processes of this machine, if it is up to us, and end with them.

    They run :mod:`tngexp.training.further_process` on ``config``. Their standard output is dropped,
    the error output kept in a file from which the reason is quoted when one of them fails.
    """
    if not team.start:
        yield
        return
    where = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(find_free_network_port()),
        "NODE_RANK": "0",
        "LOCAL_RANK": "0",
        "_TNGEXP_FIRST_PROCESS": str(os.getpid()),
    }
    before = {name: os.environ.get(name) for name in where}
    with tempfile.TemporaryDirectory(prefix="tngexp-ddp-") as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(dict(config)), encoding="utf-8")
        others: list[tuple[subprocess.Popen[bytes], Path]] = []
        done = threading.Event()
        try:
            for rank in range(1, team.world_size):
                errors = Path(folder) / f"{rank}.err"
                with errors.open("wb") as sink:
                    other = subprocess.Popen(
                        [sys.executable, "-m", "tngexp.training.further_process", str(file)],
                        env={**os.environ, **where, "LOCAL_RANK": str(rank)},
                        stdout=subprocess.DEVNULL,
                        stderr=sink,
                    )
                others.append((other, errors))
            os.environ.update(where)
            _watch(others, done)
            yield
        except Exception as error:
            reason = _reason(others)
            if reason is not None and not isinstance(error, TngexpError):
                # What happened here is only that the connection broke.
                raise TngexpError(reason) from error
            raise
        finally:
            done.set()
            _end(others)
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def _reason(others: list[tuple[subprocess.Popen[bytes], Path]]) -> str | None:
    """The last line that a failed process wrote, once it has ended."""
    deadline = time.monotonic() + 5
    for rank, (other, errors) in enumerate(others, 1):
        with suppress(subprocess.TimeoutExpired):
            code = other.wait(max(0.0, deadline - time.monotonic()))
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if code:
                why = lines[-1] if lines else f"exit code {code}"
                return f"process {rank} of the training failed: {why.removeprefix('error: ')}"
    return None


def _watch(others: list[tuple[subprocess.Popen[bytes], Path]], done: threading.Event) -> None:
    """End this process when another one failed and no exception tells: a collective may wait for
    it for half an hour, and nothing in Python interrupts that."""

    def watch() -> None:
        while not done.wait(1):
            if any(other.poll() for other, _ in others) and not done.wait(_STUCK_S):
                print(f"error: {_reason(others)}", file=sys.stderr, flush=True)
                for other, _ in others:
                    other.kill()
                os._exit(2)

    threading.Thread(target=watch, daemon=True).start()


def _end(others: list[tuple[subprocess.Popen[bytes], Path]]) -> None:
    failing = sys.exc_info()[0] is not None
    deadline = time.monotonic() + (2.0 if failing else _GRACE_S)
    for other, _ in others:
        try:
            other.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()


def end_with(parent: int) -> None:
    """End this process when ``parent`` is gone: a collective would wait for it for minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def agreed(trainer: pl.Trainer, number: int) -> int:
    """The largest ``number`` of all processes, so that all of them take the same turn."""
    if trainer.world_size == 1:
        return number
    values = torch.tensor(number, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
    return int(values)


def mean_over_processes(trainer: pl.Trainer, values: Mapping[str, Any]) -> dict[str, Any]:
    """Scalars averaged over the processes, whose batches are of one size, in one message."""
    if trainer.world_size == 1 or not values:
        return dict(values)
    device = trainer.strategy.root_device
    stacked = torch.stack(
        [torch.as_tensor(v, dtype=torch.float32, device=device).detach() for v in values.values()]
    )
    torch.distributed.all_reduce(stacked)
    return dict(zip(values, stacked / trainer.world_size, strict=True))
