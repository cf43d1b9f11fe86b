"""Files, runs and sweeps become curves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_hybrid import small
from support import checkpoint

from tngexp.evaluation import find_checkpoints, load_models
from tngexp.evaluation.checkpoints import at_efforts, divide
from tngexp.hybrid.model import save_hybrid
from tngexp.io import CheckpointError
from tngexp.model.codec import Codec


@pytest.fixture
def run(tmp_path: Path, make_codec: Callable[..., Codec]) -> Callable[..., Path]:
    """Writes the best checkpoint of a run and returns the run's folder."""

    def run(
        name: str, lmbda: float = 1.0, steps: int = 100, old: bool = False, **options: Any
    ) -> Path:
        folder = tmp_path / name
        path = folder / "checkpoints" / "best.ckpt"
        path.parent.mkdir(parents=True)
        codec = make_codec(**options).eval()
        assert codec.config is not None
        rate = codec.config["rate"]
        if old:  # λ lay in the rate, and there was no objective
            rate["lmbda"] = lmbda
        checkpoint(codec, path)
        content = torch.load(path, weights_only=True)
        content["tngexp"]["config"] = {
            "name": f"gmm-mse-loss.lmbda={lmbda}",
            "run_dir": str(folder),
            "loss": {"lmbda": lmbda},
            "rate": rate,
            "trainer": {"max_steps": steps},
        }
        if not old:
            content["tngexp"]["objective"] = {"distortion": "mse", "lmbda": lmbda}
            content["tngexp"]["config"] |= {"init_parts": "all", "freeze": []}
        torch.save(content, path)
        return folder

    return run


def test_a_place_is_a_file_a_run_or_a_sweep(run: Callable[..., Path], tmp_path: Path) -> None:
    first = run("sweep/0") / "checkpoints" / "best.ckpt"
    second = run("sweep/1") / "checkpoints" / "best.ckpt"
    assert find_checkpoints(first) == [first]
    assert find_checkpoints(tmp_path / "sweep" / "0") == [first]
    assert find_checkpoints(tmp_path / "sweep") == [first, second]
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no run in this folder"):
        find_checkpoints(tmp_path / "empty")


def test_runs_that_differ_in_lmbda_form_one_curve(run: Callable[..., Path], tmp_path: Path) -> None:
    run("sweep/0", lmbda=0.01)
    run("sweep/1", lmbda=0.02)
    longer = run("longer", lmbda=0.01, steps=200)
    models = load_models([tmp_path / "sweep", longer])
    # Another length of training is another experiment, though its name is the same.
    assert [model.curve for model in models] == ["sweep", "sweep", "longer"]
    assert [model.setting(None) for model in models] == ["λ=0.01", "λ=0.02", "λ=0.01"]
    assert {model.curve for model in load_models([tmp_path / "sweep"])} == {"gmm-mse"}


def test_runs_of_an_earlier_version_are_points_of_the_same_curve(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    run("sweep/0", lmbda=0.01, old=True)
    run("sweep/1", lmbda=0.02, old=True)
    run("sweep/2", lmbda=0.03)
    models = load_models([tmp_path / "sweep"])
    assert {model.curve for model in models} == {"gmm-mse"}
    assert [model.setting(None) for model in models] == ["λ=0.01", "λ=0.02", "λ=0.03"]
    assert len({model.key.config_sha256 for model in models}) == 1


def test_checkpoints_of_one_run_are_curves_of_their_own(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    best = run("a", rate="variable") / "checkpoints" / "best.ckpt"
    later = run("later", rate="variable") / "checkpoints" / "best.ckpt"
    last = later.rename(best.with_name("last.ckpt"))
    assert [model.curve for model in load_models([best, last])] == ["a, best", "a, last"]
    # Beside another run of that name.
    other = run("b/a", rate="variable")
    labels = [model.curve for model in load_models([best, last, other])]
    assert labels == [f"{tmp_path / 'a'}, best", "a, last", f"{tmp_path / 'b' / 'a'}"]


def test_one_file_under_two_paths_is_one_checkpoint(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run("a", rate="variable") / "checkpoints" / "best.ckpt"
    monkeypatch.chdir(path.parent)
    assert len(load_models([path, path.name])) == 1


def test_checkpoints_of_one_lmbda_are_no_two_points_of_a_curve(run: Callable[..., Path]) -> None:
    files = []
    for index, lmbda in enumerate((0.01, 0.02)):
        best = run(f"sweep/{index}", lmbda=lmbda) / "checkpoints" / "best.ckpt"
        torch.manual_seed(7 + index)  # other weights
        later = run(f"later/{index}", lmbda=lmbda) / "checkpoints" / "best.ckpt"
        files += [best, later.rename(best.with_name("last.ckpt"))]
    models = load_models(files)
    assert [model.curve for model in models] == ["sweep, best", "sweep, last"] * 2
    assert [model.setting(None) for model in models] == ["λ=0.01"] * 2 + ["λ=0.02"] * 2


def test_labels_that_are_still_equal_are_numbered(run: Callable[..., Path]) -> None:
    folders = [run(name, rate="variable") for name in ("a", "b", "c")]
    path = folders[0] / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["tngexp"]["config"]["name"] = "b"  # as the folder of another one
    torch.save(content, path)
    assert [model.curve for model in load_models(folders)] == ["b", "b (2)", "c"]


def test_curves_can_be_named(run: Callable[..., Path]) -> None:
    a, b = run("a"), run("b", rate="variable")
    models = load_models({"mine": [str(a)], "other": str(b)})
    assert [model.curve for model in models] == ["mine", "other"]
    assert models[1].setting(0.5) == "q=0.5"
    assert models[0].key.weights_sha256 != models[1].key.weights_sha256
    assert models[0].key.config_sha256 != models[1].key.config_sha256


def test_a_checkpoint_named_twice_is_measured_once(run: Callable[..., Path]) -> None:
    folder = run("a")
    assert len(load_models([folder, folder / "checkpoints" / "best.ckpt"])) == 1


def test_a_copy_is_no_further_point_of_its_curve(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("a")
    copy = tmp_path / "copy.ckpt"
    shutil.copy(folder / "checkpoints" / "best.ckpt", copy)
    assert len(load_models({"mine": [str(folder), str(copy)]})) == 1
    assert len(load_models({"mine": [str(folder)], "same": [str(copy)]})) == 2
    with pytest.raises(CheckpointError, match="no checkpoint is named"):
        load_models([])


def test_runs_behind_links_are_found_and_folders_that_are_closed_are_named(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, elsewhere = run("sweep/0"), run("disk/1")
    try:
        (tmp_path / "sweep" / "1").symlink_to(elsewhere, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    assert len(find_checkpoints(tmp_path / "sweep")) == 2
    scandir = os.scandir

    def forbidding(folder: Path) -> Any:
        if Path(folder) == first:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("os.scandir", forbidding)
    with pytest.raises(CheckpointError, match="0: permission denied"):
        find_checkpoints(tmp_path / "sweep")


def test_what_a_search_looks_for_is_in_the_key(run: Callable[..., Path]) -> None:
    path = run("a") / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    keys = []
    for lmbda in (0.01, 0.02):
        content["tngexp"]["objective"] = {"distortion": "mse", "lmbda": lmbda}
        torch.save(content, path)
        keys.append([model.key for model in at_efforts(load_models([path]), [0, 1], None)])
    (plain, searched), (same, other) = keys
    assert plain == same
    assert searched != other


def test_networks_behind_codecs_are_told_apart(tmp_path: Path) -> None:
    network = tmp_path / "restore.safetensors"
    save_hybrid(small("jpeg", "webp"), network)
    names = [f"jpeg+{network}", f"webp+{network}"]
    assert divide(["tng-objective", str(network)]) == (["tng-objective"], names)
    assert divide({"mine": ["tng-objective"], "other": str(network)}) == (
        {"mine": ["tng-objective"]},
        names,
    )
    run = tmp_path / "run" / "checkpoints" / "best.ckpt"
    run.parent.mkdir(parents=True)
    save_hybrid(small("jpeg"), run)
    assert divide([str(tmp_path / "run")]) == ([], [f"jpeg+{run}"])
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        divide([str(tmp_path / "absent.ckpt")])
