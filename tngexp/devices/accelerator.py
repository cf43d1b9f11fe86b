"""``trainer.accelerator`` and ``trainer.devices``, checked against the machine."""

from __future__ import annotations

import torch

from tngexp.common.options import did_you_mean
from tngexp.schema.trainer import TrainerConf
from tngexp.types import ConfigError

__all__ = ["resolve_accelerator"]

_KNOWN = ("auto", "cpu", "cuda", "gpu", "mps")


def resolve_accelerator(settings: TrainerConf) -> str:
    """``cuda``, ``mps`` or ``cpu``, whichever ``settings`` mean on this machine.

    Raises:
        ConfigError: for an unknown accelerator, or devices that are not there.
    """
    name = settings.accelerator
    if name not in _KNOWN:
        raise ConfigError(
            f"trainer.accelerator={name!r} is not one of {', '.join(_KNOWN)}."
            + did_you_mean(name, _KNOWN)
        )
    found = _found()
    wanted = found if name == "auto" or (name == "gpu" and found != "cpu") else name
    if wanted == "cpu":
        _check_cpu(settings)
        return "cpu"
    if not {"cuda": torch.cuda.is_available(), "mps": _mps()}.get(wanted, False):
        build = torch.version.cuda or torch.version.hip
        because = "" if build else ", whose build is for CPUs only"
        raise ConfigError(
            f"trainer.accelerator={name}: there is no such device that torch {torch.__version__} "
            f"can use{because}. Train with trainer.accelerator=auto, which takes {found} here."
        )
    _check_count(settings, torch.cuda.device_count() if wanted == "cuda" else 1)
    return wanted


def _found() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if _mps() else "cpu"


def _mps() -> bool:
    return bool(torch.backends.mps.is_available())


def _check_cpu(settings: TrainerConf) -> None:
    if isinstance(settings.devices, list):
        raise ConfigError(
            f"trainer.devices={settings.devices} lists GPUs, but the training is on the CPU; give "
            "the number of processes, e.g. trainer.devices=1."
        )


def _check_count(settings: TrainerConf, count: int) -> None:
    devices = settings.devices
    missing = isinstance(devices, int) and devices > count
    if isinstance(devices, list):
        missing = any(index >= count for index in devices)
    if missing:
        there = "1 device" if count == 1 else f"{count} devices"
        raise ConfigError(
            f"trainer.devices={devices}: this machine has {there}, counted from 0; "
            "trainer.devices=auto takes all there are."
        )
