"""From what a user names, a file, a run or a sweep, to codecs and the curves they form."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tngexp import zoo
from tngexp.bitstream import ImageCodec
from tngexp.bitstream.codec_files import identity, load
from tngexp.bitstream.effort import check_effort, tuning_of
from tngexp.bitstream.looks import Look, check_look, read_look
from tngexp.common.folders import search
from tngexp.metrics.records import CodecKey
from tngexp.model.files import locate, read_checkpoint
from tngexp.model.legacy import modernise, modernise_run
from tngexp.model.objective import objective
from tngexp.types import CheckpointError, ConfigError

__all__ = [
    "Model",
    "Places",
    "at_efforts",
    "at_looks",
    "divide",
    "find_checkpoints",
    "load_models",
]

_BEST = Path("checkpoints") / "best.ckpt"
# What may differ between the points of one curve: λ, and what changes with every run.
_OF_A_RUN = ("name", "group", "run_dir", "resume", "init_from", "logger", "callbacks", "sweep")

Places = Sequence[str | Path] | Mapping[str, Any]
"""Names of shipped models, files, run folders or sweep folders; or named curves of them."""

_Loaded = tuple[Path, ImageCodec, Mapping[str, Any]]  # with the checkpoint's raw content


@dataclass(frozen=True, eq=False)
class Model:
    """A checkpoint to measure."""

    path: Path
    codec: ImageCodec
    curve: str  # label of the curve it is a point of, or all of when its rate is variable
    lmbda: float | None  # of a fixed rate, where known
    key: CodecKey

    def setting(self, quality: float | None) -> str:
        """A point of its curve in words."""
        if quality is not None:
            return f"q={quality:g}"
        return "" if self.lmbda is None else f"λ={self.lmbda:g}"


def find_checkpoints(place: str | Path) -> list[Path]:
    """The checkpoints at ``place``: a shipped model, a file, the best of a run or of each run.

    Raises:
        CheckpointError: when there is none.
    """
    path = locate(place)
    if not path.is_dir():
        return [path]
    if (path / _BEST).is_file():
        return [path / _BEST]
    below = search(path, {_BEST.suffix})
    if below.folders:  # a curve without some of its points would pass for the whole sweep
        folder, why = below.folders[0]
        raise CheckpointError(f"{folder}: {why}; its runs cannot be looked for")
    found = [file for file in below.files if file.parts[-2:] == _BEST.parts]
    if not found:
        raise CheckpointError(f"{path}: no run in this folder (looked for …/{_BEST})")
    return found


def load_models(places: Places) -> list[Model]:
    """Load every checkpoint at ``places``.

    Args:
        places: names of shipped models, files, run folders or sweep folders. Runs that differ in λ
            alone form one curve; several checkpoints of a run are on several. A mapping names the
            curves: label → one place or several. Copies of one checkpoint are one point of a curve.

    Raises:
        CheckpointError: for a missing, damaged or foreign checkpoint, or none at all.
    """
    if not places:
        raise CheckpointError("no checkpoint is named: give one or several")
    if isinstance(places, Mapping):
        return _distinct(
            _model((path, load(path), read_checkpoint(path)), str(label))
            for label, named in places.items()
            for place in _listed(named)
            for path in find_checkpoints(place)
        )
    paths = list(dict.fromkeys(path for place in places for path in find_checkpoints(place)))
    loaded = [(path, load(path), read_checkpoint(path)) for path in paths]
    models = [_model(entry, "") for entry in loaded]
    labels = _labels(loaded, models)
    return _distinct(replace(m, curve=label) for m, label in zip(models, labels, strict=True))


def divide(places: Places) -> tuple[Places, list[str]]:
    """Codecs apart from networks behind other codecs.

    Args:
        places: as :func:`load_models` takes them.

    Returns:
        The places of the codecs, and the names by which anchors are called with the networks.

    Raises:
        CheckpointError: for a missing, damaged or foreign checkpoint.
    """
    if isinstance(places, Mapping):
        apart = {label: divide(_listed(named)) for label, named in places.items()}
        codecs: Places = {label: kept for label, (kept, _) in apart.items() if kept}
        return codecs, [name for _, found in apart.values() for name in found]
    kept: list[str | Path] = []
    names: list[str] = []
    for place in places:
        paths = find_checkpoints(place)
        described = [(path, read_checkpoint(path)["tngexp"]["codec"]) for path in paths]
        networks = [(path, codec) for path, codec in described if "post" in codec]
        names += [f"{base}+{path}" for path, codec in networks for base in codec["base"]]
        if not networks:
            kept.append(place)
        else:
            kept += [path for path, codec in described if "post" not in codec]
    return kept, list(dict.fromkeys(names))


def _listed(named: Any) -> list[Any]:
    return [named] if isinstance(named, str | Path) else list(named)


def at_efforts(models: Sequence[Model], efforts: Any, tune: str | None) -> list[Model]:
    """Every model at every effort of its encoder, each a curve of its own.

    Raises:
        ConfigError: unless ``efforts`` is a whole number from 0 to 9 or a list of them, for no such
            ``tune``, or a model that cannot search.
    """
    values = list(dict.fromkeys(efforts)) if isinstance(efforts, list) else [efforts]
    if not values:
        raise ConfigError("efforts=[] measures nothing; efforts=[0] is an encoder without search")
    found = []
    for model in models:
        for effort in values:
            if not check_effort(effort):
                found.append(model)
                continue
            quality = 0.5 if model.codec.model.rate.variable else None
            tuning_of(model.codec.model.objective, quality, tune)
            label = f"{model.curve}, effort {effort}" + (f" for {tune}" if tune else "")
            # What a search looks for is no weight: λ, and the distortion where tune is None.
            trained_for = json.dumps(model.codec.model.objective, sort_keys=True)
            key = model.key._replace(effort=effort, tune=tune, objective=trained_for)
            found.append(replace(model, curve=label, key=key))
    return found


def at_looks(models: Sequence[Model], looks: Any, files: Sequence[str | Path] = ()) -> list[Model]:
    """Every model at every look of its decoder, each a curve of its own.

    A codec that has no look is there at 0, its own picture, alone.

    Args:
        models: what to measure.
        looks: a number from 0 to 1, or a list of them.
        files: of looks, each for the codec that it belongs to, instead of the one it ships with.

    Raises:
        ConfigError: for no such ``looks``, or where no codec has a look above 0.
        CheckpointError: for an unusable file, or a look of none of the codecs.
    """
    values = [check_look(value) for value in (looks if isinstance(looks, list) else [looks])]
    values = list(dict.fromkeys(values))
    if not values:
        raise ConfigError("looks=[] measures nothing; looks=[0] is the codec's own picture")
    given = [read_look(path) for path in files]
    ids = {model.key.model for model in models}
    for one in given:
        if one.model.hex() not in ids:
            raise CheckpointError(
                f"{one.path}: a look for model {zoo.called(one.model)}, which is none of these: "
                f"{', '.join(f'{model.curve} ({model.key.model})' for model in models)}"
            )
    if not any(values):
        if given:
            raise ConfigError(
                f"look_from={given[0].path} shows nothing at looks={looks}: looks=[0,1]"
            )
        return list(models)
    dressed = [_with_look(model, given) for model in models]
    for model, look in dressed:
        if look is None and (0 not in values or not any(own for _, own in dressed)):
            raise ConfigError(
                f"{model.curve} has no look, so that looks={looks} is not for it: name the file of "
                "one, look_from=FILE, or take looks=[0], its own picture"
            )
    return [
        _at_look(model, look, value)
        for model, look in dressed
        for value in values
        if look is not None or value == 0
    ]


def _with_look(model: Model, given: Sequence[Look]) -> tuple[Model, Look | None]:
    look = next((look for look in given[::-1] if look.model.hex() == model.key.model), None)
    if look is not None:
        codec = ImageCodec(model.codec.model, model.codec.tables(), look).eval()
        model = replace(model, codec=codec)
    return model, model.codec.look()


def _at_look(model: Model, look: Look | None, value: float) -> Model:
    if look is None or value == 0:
        return model
    key = model.key._replace(look=value, look_sha256=look.sha256)
    return replace(model, curve=f"{model.curve}, look {value:g}", key=key)


def _distinct(models: Iterable[Model]) -> list[Model]:
    """Each content once on a curve: a copy would count every image twice."""
    return list({(m.curve, m.key): m for m in reversed([*models])}.values())[::-1]


def _model(entry: _Loaded, label: str) -> Model:
    path, codec, checkpoint = entry
    model = codec.model
    assert model.config is not None
    trained_for = objective(checkpoint["tngexp"])
    lmbda = None if model.rate.variable or trained_for is None else trained_for.lmbda
    content = identity(codec)
    key = CodecKey(content["model"], content["weights_sha256"], content["config_sha256"])
    return Model(path, codec, label, lmbda, key)


def _curve(entry: _Loaded) -> str:
    """Equal for the points of one curve."""
    path, codec, checkpoint = entry
    if codec.model.rate.variable:
        return str(path.resolve())
    content = checkpoint["tngexp"]
    if not content.get("config"):
        return _hash(modernise(content["codec"]))
    config = modernise_run(content["config"])
    kept = {key: value for key, value in config.items() if key not in _OF_A_RUN}
    kept["loss"] = {key: value for key, value in config["loss"].items() if key != "lmbda"}
    return _hash(kept)


def _curves(loaded: Sequence[_Loaded], models: Sequence[Model]) -> list[tuple[str, int]]:
    """Of each checkpoint what is equal for the points of one curve.

    Another checkpoint of the same experiment and λ, as the last one beside the best, is no further
    point: the first ones of each λ form a curve, and so do the second ones.
    """
    seen: dict[tuple[str, float], list[CodecKey]] = {}
    found = []
    for entry, one in zip(loaded, models, strict=True):
        curve = _curve(entry)
        if one.lmbda is None:  # unknown, or every rate
            found.append((curve, 0))
            continue
        contents = seen.setdefault((curve, one.lmbda), [])
        if one.key not in contents:
            contents.append(one.key)
        found.append((curve, contents.index(one.key)))
    return found


def _labels(loaded: Sequence[_Loaded], models: Sequence[Model]) -> list[str]:
    """Of each checkpoint the label of its curve: the shortest that no other curve has."""
    curves = _curves(loaded, models)
    members: dict[tuple[str, int], list[_Loaded]] = {}
    for curve, entry in zip(curves, loaded, strict=True):
        members.setdefault(curve, []).append(entry)
    names = {curve: _names(group) for curve, group in members.items()}
    chosen: dict[tuple[str, int], str] = {}
    for curve, candidates in names.items():
        others = [name for other, name in names.items() if other != curve]
        unique = (c for i, c in enumerate(candidates) if all(c != other[i] for other in others))
        label = next(unique, candidates[-1])
        # The folder of one may be called as the file of another.
        numbered = itertools.chain([label], (f"{label} ({n})" for n in itertools.count(2)))
        chosen[curve] = next(name for name in numbered if name not in chosen.values())
    return [chosen[curve] for curve in curves]


def _names(group: Sequence[_Loaded]) -> tuple[str, ...]:
    """Labels for a curve, from the shortest to one that names its files, too."""
    paths = [path.absolute() for path, _, _ in group]
    folders = [p.parent.parent if p.parent.name == _BEST.parent.name else p for p in paths]
    common = Path(os.path.commonpath(folders))
    full = str((group[0][2]["tngexp"].get("config") or {}).get("name") or common.stem)
    short = "-".join(part for part in full.split("-") if "=" not in part) or full
    files = ", ".join(dict.fromkeys(path.stem for path in paths))
    return short, common.stem, str(common), f"{common.stem}, {files}", f"{common}, {files}"


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
