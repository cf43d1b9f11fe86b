"""Every option of every group composes and builds, and the files say what they should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from support import options

from tngexp.common.configuration import CONF_DIR, slug, swept
from tngexp.hybrid.model import Hybrid
from tngexp.model.build import build
from tngexp.model.codec import Codec
from tngexp.schema.store import register_config
from tngexp.schema.trainer import TrainerConf
from tngexp.training.engine import _callbacks
from tngexp.training.hybrid import LitHybrid
from tngexp.training.module import LitCodec
from tngexp.training.optimizer import make_optimizer, make_scheduler
from tngexp.types import CodecOutput

SMALL = ["encoder.N=8", "encoder.M=12"]
GROUPS = sorted(path.name for path in CONF_DIR.iterdir() if path.is_dir())
CODEC_GROUPS = ("model", "encoder", "hyper", "quantizer", "prior", "rate", "loss", "experiment")


# Chosen with model=hybrid alone, and tested apart.
HYBRID = {
    ("model", "hybrid"),
    *((group, option) for group in ("post", "pre") for option in options(group)),
    *(("experiment", option) for option in options("experiment") if option.startswith("restore")),
}


def plain(*overrides: str) -> dict[str, Any]:
    register_config()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", list(overrides))
    OmegaConf.set_struct(config, False)
    config.run_dir = "somewhere"
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    return resolved  # type: ignore[return-value]


def small_codec(config: dict[str, Any]) -> Codec:
    return Codec.from_config(LitCodec.describe(config))


@pytest.mark.parametrize(
    ("group", "option"),
    [(g, option) for g in GROUPS for option in options(g) if (g, option) not in HYBRID],
)
def test_every_option_composes_and_builds(group: str, option: str) -> None:
    # N of the depthwise transform must hold an 8×8 cell's colours in multiples.
    config = plain(f"{group}={option}", *SMALL)
    codec = small_codec(config)
    assert codec.stride % 16 == 0
    loss = build(config["loss"], trusted=True)
    assert loss.min_side <= config["data"].get("crop", 256) or option == "smoke"
    build(config["data"], trusted=True)
    _callbacks(config["callbacks"])
    make = make_optimizer(config["optimizer"])
    make_scheduler(config["scheduler"])
    assert make([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] > 0
    TrainerConf.from_config(config["trainer"])


CODECS = sorted(set(options("model")) - {"hybrid"})  # which has no box but the network


@pytest.mark.parametrize("model", CODECS)
def test_preset_is_what_it_is_called(model: str) -> None:
    config = plain(f"model={model}", *SMALL)
    codec = small_codec(config).eval()
    with torch.no_grad():
        output: CodecOutput = codec(torch.rand(1, 3, 64, 64))
    assert (output.z_bits is None) == (model == "factorized")
    assert codec.rate.variable == model.startswith("tng")
    if model == "gmm":
        assert config["prior"]["mixture"] == 3


@pytest.mark.parametrize("experiment", ["restore_mse", "restore_msssim"])
def test_recipes_of_networks_behind_codecs_compose_and_build(experiment: str) -> None:
    config = plain(f"experiment={experiment}", "data=folder", "data.root=x")
    hybrid = Hybrid.from_config(LitHybrid.describe(config))
    assert hybrid.base == ("jpeg", "jpeg444", "webp", "avif", "bpg")
    assert hybrid.factors == (1.0, 1.5, 2.0)
    loss = build(config["loss"], trusted=True)
    assert loss.min_side <= config["data"]["crop"]
    assert config["data"]["crop"] % hybrid.stride == 0


@pytest.mark.parametrize("pre", options("pre"))
@pytest.mark.parametrize("post", options("post"))
def test_a_network_behind_codecs_composes_and_builds(post: str, pre: str) -> None:
    config = plain("model=hybrid", "base=[jpeg,webp]", f"post={post}", f"pre={pre}")
    hybrid = Hybrid.from_config(LitHybrid.describe(config))
    assert hybrid.base == ("jpeg", "webp")
    assert hybrid.factors == ((1.0,) if pre == "identity" else (1.0, 1.5, 2.0))
    assert config["quantizer"] is None
    assert config["rate"] is None


@pytest.mark.parametrize("model", CODECS)
def test_any_box_of_a_preset_can_be_swapped(model: str) -> None:
    config = plain(
        f"model={model}", "quantizer=ste", "encoder=attention", "prior=quadtree",
        "rate=variable", "loss=mixed", *SMALL,
    )  # fmt: skip
    found = [config[key]["_target_"].rpartition(".")[2] for key in ("encoder", "quantizer", "rate")]
    assert found == ["AttentionTransform", "StraightThrough", "VariableRate"]
    assert config["prior"]["context"]["_target_"].endswith("QuadtreeContext")
    assert small_codec(config).rate.variable


def test_experiments_override_groups_and_yield_to_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - override /model: context\n"
        "  - override /encoder: residual\n"
        "  - override /quantizer: noise\n"
        "trainer:\n"
        "  max_steps: 7\n"
    )
    search = f"hydra.searchpath=[file://{tmp_path}]"
    config = plain("experiment=mine", search)
    assert config["encoder"]["_target_"].endswith("ResidualTransform")
    assert config["prior"]["context"]["_target_"].endswith("MaskedContext")
    assert config["trainer"]["max_steps"] == 7
    config = plain("experiment=mine", "encoder=gdn", "trainer.max_steps=8", search)
    assert config["encoder"]["_target_"].endswith("GDNTransform")
    assert config["quantizer"]["_target_"].endswith("Noise")
    assert config["trainer"]["max_steps"] == 8


def test_lambda_is_the_losss_alone() -> None:
    for rate in options("rate"):
        config = plain(f"rate={rate}", "loss=mse", "loss.lmbda=0.5")
        assert not [key for key in config["rate"] if "lmbda" in key]
        loss = build(config["loss"], trusted=True)
        assert float(loss.lmbda(None)) == 0.5
        assert loss.lmbda_max == 0.0483


def test_components_say_what_they_build() -> None:
    for group in ("encoder", "hyper", "quantizer", "prior", "rate", "loss", "data", "optimizer"):
        for option in options(group):
            loaded = OmegaConf.load(CONF_DIR / group / f"{option}.yaml")
            assert isinstance(loaded, DictConfig)
            assert "_target_" in loaded, (group, option)


def test_cfg_job_works_from_any_folder(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "tngexp.train", "--cfg", "job", "model=tng"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{root}:" + ":".join(p for p in sys.path if p), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "tngexp.transforms.depthwise.DepthwiseTransform" in done.stdout
    assert not list(tmp_path.iterdir())


def test_conf_is_found_in_the_package_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tngexp.common import configuration

    package = tmp_path / "tngexp"
    for folder in (tmp_path / "conf", package / "conf"):
        folder.mkdir(parents=True)
        (folder / "train.yaml").touch()
    monkeypatch.setattr(configuration, "__file__", str(package / "common" / "configuration.py"))
    assert configuration._find() == package / "conf"
    (package / "conf/train.yaml").unlink()
    assert configuration._find() == tmp_path / "conf"


def test_slug_is_one_safe_component() -> None:
    assert slug("data.root=../../photos") == "data.root=_.._photos" or "/" not in slug("../a")
    assert slug("") == "default"
    assert len(slug("x" * 1000)) == 100
    assert re.fullmatch(r"[\w.,=+-]+", slug("a b$c;'\"é/\\"))


def test_swept_names_only_what_varies() -> None:
    line = ["-m", "model=gmm", "data.downscale=[0.6,1]", "loss.lmbda=1,2", "seed=range(3)"]
    job = ["model=gmm", "data.downscale=[0.6,1]", "loss.lmbda=2", "seed=1"]
    assert swept(job, line) == "loss.lmbda=2,seed=1"
    assert swept(["a=1"], ["-m"]) == "a=1"
