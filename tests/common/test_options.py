"""Values of options against the types that whoever takes them declares."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from tngexp.common.options import declared_types, mismatch
from tngexp.common.words import as_text, without_null_groups
from tngexp.model.build import build
from tngexp.types import ConfigError


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (1, int), (1, float), (1.5, float), (float("inf"), float), (True, bool), ("a", str),
        (None, None), (None, int | None), (3, int | None), ([1, 2], list[int]),
        ([1, 2.5], Sequence[float]), ((1,), Iterable[float]), ([0.9, 0.98], tuple[float, float]),
        ([], tuple[int, ...]), ([3, 3, 3], tuple[int, ...]), ({"a": 1}, dict[str, Any]),
        ({}, Mapping[str, int]), ("a", str | os.PathLike[str]), (Path("a"), str | Path),
        ("a", Literal["a", "b"]), (3, Any), (nn.ReLU(), nn.Module), (nn.ReLU, Callable[..., Any]),
        (1e-3, float | Tensor), (torch.ones(1), float | Tensor), ([], list),
    ],
    ids=str,
)  # fmt: skip
def test_what_fits(value: Any, declared: Any) -> None:
    assert mismatch(value, declared) is None


@pytest.mark.parametrize(
    ("value", "declared", "words"),
    [
        (1.0, int, "a whole number"),
        (True, int, "a whole number"),
        ("1", int, "a whole number"),
        (True, float, "a number"),
        (float("nan"), float, "a number"),
        ("abc", float | None, "a number or null"),
        ([0.1], float, "a number"),
        ("abc", float | Tensor, "a number"),
        (1, bool, "true or false"),
        ("yes", bool, "true or false"),
        (2024, str | None, "text or null; quotes make text of it"),
        (2024, str | os.PathLike[str] | None, "text or null; quotes make text of it"),
        (2.5, Path, "text; quotes make text of it"),
        (None, str, "text"),
        ("ab", list[str], "a list [text, …]"),
        ([1], list[str], "a list [text, …]"),
        ([0.9], tuple[float, float], "a list [a number, a number]"),
        (["a", 1.0], tuple[float, float], "a list [a number, a number]"),
        ([1], dict[str, Any], "a group of options"),
        ("c", Literal["a", "b"], "one of a, b"),
        ("gdn", nn.Module, "a component, described by a _target_"),
        (3, Callable[..., nn.Module], "a component, described by a _target_"),
    ],
    ids=str,
)
def test_what_does_not_fit(value: Any, declared: Any, words: str) -> None:
    assert mismatch(value, declared) == words


def test_types_are_read_off_classes_and_functions() -> None:
    assert declared_types(torch.optim.AdamW)["weight_decay"] is float
    assert declared_types(as_text)["words"] == Iterable[str]
    assert declared_types(len) == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"N": "abc"}, r"encoder\.N='abc' must be a whole number"),
        ({"N": 2.5}, r"encoder\.N=2\.5 must be a whole number"),
    ],
)
def test_an_option_of_a_wrong_type_is_named(config: Any, message: str) -> None:
    target = {"_target_": "tngexp.transforms.gdn.GDNTransform", "M": 4}
    with pytest.raises(ConfigError, match=message):
        build({**target, **config}, option="encoder")


def test_a_component_that_refuses_its_options_is_named() -> None:
    config = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 3, "kernel_size": 1}
    message = r"loss\.network cannot be built with .*groups=2: in_channels must be divisible"
    with pytest.raises(ConfigError, match=message):
        build({**config, "groups": 2}, trusted=True, option="loss.network")


@pytest.mark.parametrize("config", [3, "gdn", None, {"N": 3}, {"_target_": 5}])
def test_what_describes_no_component_is_refused(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"does not say what to build: .* _target_"):
        build(config, option="encoder")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("data.root=2024", 'data.root="2024"'),
        ("run_dir=2024_01", 'run_dir="2024_01"'),
        ("+data.val_root=1.10", '+data.val_root="1.10"'),
        ("resume=1e3", 'resume="1e3"'),
        ("data.file=2024", 'data.file="2024"'),
        ("data.val_file=1e3", 'data.val_file="1e3"'),
        ("name=true", 'name="true"'),
        ("hydra.sweep.dir=-5", 'hydra.sweep.dir="-5"'),
        ("out=NaN", 'out="NaN"'),
        ("data.root=2024,photos,0x1", 'data.root="2024",photos,0x1'),
        ("checkpoint=[2024, a/1,7]", 'checkpoint=["2024", a/1,"7"]'),
        ("runs={2024:2023_1,b:[1,c]}", 'runs={2024:"2023_1",b:["1",c]}'),
    ],
)
def test_names_that_look_like_numbers_are_quoted(word: str, text: str) -> None:
    assert as_text([word]) == [text]


@pytest.mark.parametrize(
    "word",
    [
        "data.root=null", "data.root=photos/2024", "data.root=2024-01", 'data.root="2024"',
        "data.root='1,2'", "data.crop=256", "loss.lmbda=0.1,0.2", "seed=range(1,3)", "-m",
        "data.root=", "group=choice(1,2)", "name=a 2024",
    ],
)  # fmt: skip
def test_everything_else_stays_as_it_is(word: str) -> None:
    assert as_text([word]) == [word]


def test_groups_that_are_null_are_taken_out() -> None:
    words = ["logger=null", "+report=null", "experiment=null", "data.val_root=null", "~callbacks"]
    found = without_null_groups([*words, "logger=csv"], ["logger", "report", "experiment", "data"])
    assert found == ["~logger", "~report", "data.val_root=null", "~callbacks", "logger=csv"]
