"""A screening trains each run once, goes on where it stopped, and judges by seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import photo

from tngexp.cli import screen as entry
from tngexp.studies.screen_runs import LossTrace, Run, weights_content


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(6):
        photo(90 + index, 80).save(photos / f"{index}.png")
    return [
        "base=factorized+encoder.N=8+encoder.M=12+loss=mse",
        "variants=[optimizer.lr=2e-3]",
        "seeds=2",
        "steps=4",
        "points=2",
        "dataset=folder",
        f"dataset_options=[data.root={photos},data.crop=64,data.batch_size=2,data.val_images=2]",
        "logger=none",
        f"out={tmp_path / 'out'}",
    ]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs that were trained, in order."""
    from tngexp.training import train as module

    names: list[str] = []
    original = module.train

    def train(config: Any, *rest: Any) -> Any:
        names.append(str(config.name))
        return original(config, *rest)

    monkeypatch.setattr(module, "train", train)
    return names


def test_verdicts_plot_and_compute(
    words: list[str], tmp_path: Path, trained: list[str], capsys: Any
) -> None:
    assert entry.main(words) == 0
    shown = capsys.readouterr().out
    assert "against the base" in shown
    assert "±" in shown
    out = tmp_path / "out"
    assert (out / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert trained == ["base-0", "optimizer.lr=2e-3-0", "base-1", "optimizer.lr=2e-3-1"]
    summary = json.loads((out / "screen.json").read_text())
    verdict = summary["variants"]["optimizer.lr=2e-3"]
    base = summary["base"]["losses"]
    expected = [verdict["losses"][seed] / base[seed] - 1 for seed in ("0", "1")]
    assert verdict["change"] == pytest.approx(sum(expected) / 2)
    assert base["0"] != base["1"]
    assert summary["seconds"] > 0
    trace = json.loads((out / "base" / "seed0" / "trace.json").read_text())
    assert trace["steps"] == [2, 4]
    assert len(trace["losses"]) == 2

    # Again, with a further variant: only that one trains.
    trained.clear()
    assert entry.main([*words[:1], "variants=[optimizer.lr=2e-3,quantizer=ste]", *words[2:]]) == 0
    assert trained == ["quantizer=ste-0", "quantizer=ste-1"]


@pytest.mark.parametrize("warm", [False, True], ids=["new", "from_weights"])
def test_an_interrupted_training_goes_on(
    words: list[str], tmp_path: Path, trained: list[str], warm: bool
) -> None:
    assert entry.main(words) == 0
    out = tmp_path / "out"
    if warm:
        start = out / "base" / "seed0" / "checkpoints" / "last.ckpt"
        out = tmp_path / "further"
        words = [f"{words[0]}+init_from={start}", *words[1:-1], f"out={out}"]
        assert entry.main(words) == 0
    folder = out / "base" / "seed1"
    whole = json.loads((folder / "trace.json").read_text())
    # As a kill between the two validations would leave it.
    (folder / "trace.json").unlink()
    last, previous = (folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous"))
    previous.replace(last)
    trained.clear()
    assert entry.main(words) == 0
    assert trained == ["base-1"]
    again = json.loads((folder / "trace.json").read_text())
    assert again["steps"] == whole["steps"]
    assert again["losses"] == pytest.approx(whole["losses"], rel=1e-6)


def test_a_training_that_lacks_its_trace_alone_is_not_repeated(
    words: list[str], tmp_path: Path, trained: list[str], capsys: Any
) -> None:
    words = [*words[:1], "variants=[]", "seeds=1", *words[3:]]
    assert entry.main(words) == 0
    trace = tmp_path / "out" / "base" / "seed0" / "trace.json"
    whole = json.loads(trace.read_text())
    trace.unlink()
    assert entry.main(words) == 0
    assert trained == ["base-0"]
    assert json.loads(trace.read_text()) == whole

    # With other options it would be another training that went on from these weights.
    trace.unlink()
    capsys.readouterr()
    assert entry.main([*words, "common=[rate=fixed,optimizer.lr=0.25]"]) == 2
    error = capsys.readouterr().err
    assert "holds a training with other optimizer.lr: " in error
    assert "optimizer.lr" in error
    assert "out=DIR" in error
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("variants=[quantizer=nope]", "nope"),
        ("seeds=0", "seeds=0 must be"),
        ("base=nope", "nope"),
        ("steps=6", "holds a training with"),
        ("variants={a:1}", "variants="),
    ],
)
def test_bad_input_is_one_message(
    change: str, message: str, words: list[str], capsys: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "base" / "seed0"
    folder.mkdir(parents=True)
    (folder / "trace.json").write_text(
        json.dumps(
            {"overrides": ["other"], "steps": [], "losses": [], "seconds": 0, "parameters": 0}
        )
    )
    key = change.partition("=")[0]
    assert entry.main([*[w for w in words if not w.startswith(f"{key}=")], change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_other_photos_under_the_same_path_are_not_taken_for_trained(
    words: list[str], tmp_path: Path, trained: list[str], capsys: Any
) -> None:
    words[1:3] = ["variants=optimizer.lr=2e-3", "seeds=1"]  # one is a list of one
    assert entry.main(words) == 0
    assert trained == ["base-0", "optimizer.lr=2e-3-0"]
    trained.clear()
    path, trace = tmp_path / "photos" / "3.png", tmp_path / "out" / "base" / "seed0" / "trace.json"
    finished = trace.read_bytes()
    photo(93, 80).rotate(180).save(path)
    # Finished or interrupted.
    for _ in range(2):
        assert entry.main(words) == 2
        assert "base/seed0 holds a training with other photos" in capsys.readouterr().err
        trace.unlink(missing_ok=True)
    trace.write_bytes(finished)
    photo(93, 80).save(path)
    assert entry.main(words) == 0
    assert trained == []


def test_trainings_that_do_not_tell_their_data_are_refused(
    words: list[str], tmp_path: Path, capsys: Any
) -> None:
    words[1:3] = ["variants=[]", "seeds=1"]
    assert entry.main(words) == 0
    (tmp_path / "out" / "base" / "seed0" / "made-of.json").unlink()
    assert entry.main(words) == 2
    assert "does not say which data" in capsys.readouterr().err


def test_the_content_of_a_start_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    assert weights_content(str(path)) is weights_content(None) is None
    contents = set()
    for text in "ab":
        path.write_text(text)
        contents.add(weights_content(str(path)))
    assert len(contents) == 2


def test_runs_never_share_a_folder(tmp_path: Path) -> None:
    names = ["a=[1,2]", "a=(1,2)", "a=1", "x" * 150, "x" * 151]
    folders = {Run(name, (), 0).folder(tmp_path) for name in names}
    assert len(folders) == len(names)
    assert Run("a=1", (), 0).folder(tmp_path) == tmp_path / "a=1" / "seed0"


def test_overrides_need_no_quotes() -> None:
    word = "variants=[quantizer=ste,prior=gmm+optimizer.betas=[0.9,0.99],plain]"
    assert entry._quoted(word) == (
        "variants=['quantizer=ste','prior=gmm+optimizer.betas=[0.9,0.99]','plain']"
    )
    assert entry._quoted("base=gmm+encoder.N=8") == "base='gmm+encoder.N=8'"
    for word in ("base=tng", "seeds=3", "variants=['a=b']", "out=x=y"):
        assert entry._quoted(word) == word


def test_a_trace_remembers_the_time_of_earlier_parts(make_codec: Callable[..., Any]) -> None:
    first = LossTrace()
    first._started -= 5.0  # five seconds ago
    first.on_train_start(None, None)  # type: ignore[arg-type]
    first._started -= 5.0
    state = first.state_dict()
    assert state["seconds"] == pytest.approx(5.0, abs=0.5)
    second = LossTrace()
    second.load_state_dict(state)
    second.on_train_start(None, None)  # type: ignore[arg-type]
    assert second.state_dict()["seconds"] == pytest.approx(5.0, abs=0.5)
