"""The shipped codecs and what trains them: presets and experiments have their sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tngexp import zoo
from tngexp.model.codec import Codec
from tngexp.model.objective import objective_of
from tngexp.schema.compose import configuration
from tngexp.training.loss import make_loss
from tngexp.training.module import LitCodec
from tngexp.training.warm_start import WarmStart, warm_start
from tngexp.types import CheckpointError

OBJECTIVE = ("loss=mse", "loss.lmbda_min=0.0003", "loss.lmbda_max=0.13")


def start(name: str, *words: str) -> WarmStart:
    """What a codec of these options takes from the shipped codec ``name``."""
    config = configuration(*words)
    described = LitCodec.describe(config)
    wanted = objective_of(make_loss(config["loss"]))
    parts = config["init_parts"]
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    return warm_start(Codec.from_config(described), zoo.path(name), described, parts, wanted)


@pytest.mark.parametrize("name", [*zoo.MODELS, *zoo.EARLIER])
def test_a_preset_has_the_sizes_of_the_shipped_codec(name: str) -> None:
    told = start(name, f"model={zoo.codec(name).preset}")
    assert (told.taken, told.new) == (told.total, ())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tng-objective", ("experiment=tng_objective",)),
        ("tng-objective-1", ("experiment=tng_objective", "model=tng")),
        ("tng-subjective", ("experiment=tng_subjective",)),
        ("tng-mixed", ("experiment=tng_mixed",)),
        ("tng-mixed", ("experiment=tng_perceptual",)),
        ("tng-subjective", ("experiment=finetune",)),
        ("tng-objective", ("experiment=finetune", "model=tng2", *OBJECTIVE)),
    ],
)
def test_an_experiment_has_sizes_and_range_of_the_shipped_codec(
    name: str, words: tuple[str, ...]
) -> None:
    told = start(name, *words)
    assert set(told.new) <= {"noise"}  # of a look, which starts at zero
    assert told.gains is None  # λ is the same


def test_fine_tuning_another_generation_names_its_preset(
    command: Callable[..., tuple[int, str]],
) -> None:
    words = ("experiment=finetune", "init_from=tng-objective", "logger=none", "report=none")
    code, err = command(*words, tiny_run=False)
    assert code == 2
    assert "encoder.N: 224 in the checkpoint, 192 now\n" in err
    assert "trained with (model=tng2 as it is), or another checkpoint, or take what fits" in err


def test_a_new_prior_names_the_sizes_of_the_transform_alone() -> None:
    """The prior is the reader's, so no preset, which would bring another."""
    with pytest.raises(CheckpointError) as info:
        start("tng-objective", "model=gmm", "rate=variable", "init_parts=[transform,rate]")
    expected = "trained with (encoder.N=224 encoder.blocks_analysis=5), or leave transform out"
    assert expected in str(info.value)
    sizes = ("encoder.N=224", "encoder.blocks_analysis=5")
    told = start(
        "tng-objective", "model=gmm", "rate=variable", "init_parts=[transform,rate]", *sizes
    )
    assert told.new == ("prior",)
