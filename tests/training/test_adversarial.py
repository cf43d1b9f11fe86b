"""Training against a critic: what a step does to both sides, and what a run leaves."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from judged_loss import JudgedMSE
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

import tngexp
from tngexp.critics import Critic, PatchCritic
from tngexp.losses.adversarial import codec_loss, critic_loss, feature_matching
from tngexp.model.codec import Codec
from tngexp.schema.compose import configuration
from tngexp.schema.instantiate import instantiate
from tngexp.training.adversarial import LitAdversarial
from tngexp.training.critic_arguments import check_trainer
from tngexp.training.gradients import NonFiniteError
from tngexp.training.module import LitCodec
from tngexp.training.train import TrainResult, train
from tngexp.types import ConfigError

Run = Callable[..., TrainResult]

JUDGED = [
    "loss._target_=judged_loss.JudgedMSE",
    "+loss.adversarial={kind:hinge,weight:20.0,matching:10.0,ramp:[0.0,0.0]}",
    "critic=patch",
    "critic.channels=[4,6,8]",
]


def rows(result: TrainResult) -> list[dict[str, float]]:
    """What logger=csv holds of each training step."""
    assert result.logs is not None
    with next(Path(result.logs).rglob("metrics.csv")).open() as file:
        found = [row for row in csv.DictReader(file) if row["train/loss"]]
    return [{key: float(value) for key, value in row.items() if value} for row in found]


def lit(codec: Codec, kind: str = "hinge", **options: Any) -> LitAdversarial:
    loss = JudgedMSE(
        {"kind": kind, "weight": 20.0, "matching": 10.0, "ramp": (0.0, 1.0)},
        lmbda=0.01,
        lmbda_min=0.001,
        lmbda_max=0.1,
        balance=0.5,
    )
    critic = PatchCritic(16, 16, channels=[4, 6, 8])
    return LitAdversarial(
        codec,
        loss,
        critic=critic,
        critic_optimizer=lambda p: torch.optim.Adam(p, lr=1e-3),
        **options,
    )


@pytest.mark.parametrize("kind", ["hinge", "relativistic"])
@pytest.mark.parametrize("rate", ["fixed", "variable"])
def test_one_backward_is_that_of_two_losses(
    make_codec: Callable[..., Codec], kind: Any, rate: str
) -> None:
    module = lit(make_codec(quantizer="ste", rate=rate), kind)
    module.progress = 0.25  # and the ramp goes from 0 to 1
    critic = module.critic.eval()  # power iterations rest
    batch = torch.rand(2, 3, 64, 64)

    torch.manual_seed(1)  # draws the qualities
    terms = module.terms(batch)
    terms.loss.backward()
    found = {name: p.grad for name, p in module.named_parameters()}

    module.zero_grad()
    torch.manual_seed(1)
    quality = module.codec.rate.sample(2)
    output = module.codec(batch, quality)
    critic.requires_grad_(False)
    real, fake = critic(batch, output.y_hat), critic(output.x_hat, output.y_hat)
    judged = codec_loss(kind, real.logits, fake.logits)
    far = feature_matching(real.features, fake.features)
    bpp, lmbda = output.bpp(), module.loss.lmbda(quality)
    mse = (batch - output.x_hat).square().mean((1, 2, 3))
    distortion = 255.0**2 * mse + 0.25 * (20 * judged + 10 * far)
    loss = ((bpp + lmbda * distortion) / lmbda**0.5).mean()
    loss.backward()
    critic.requires_grad_()
    real, fake = (critic(picture.detach(), output.y_hat) for picture in (batch, output.x_hat))
    critic_loss(kind, real.logits, fake.logits).backward()

    torch.testing.assert_close(terms.loss, loss)
    torch.testing.assert_close(terms.distortion, distortion.mean().detach())
    torch.testing.assert_close(terms.terms["adversarial"], judged.mean().detach())
    torch.testing.assert_close(terms.terms["matching"], far.mean().detach())
    for name, parameter in module.named_parameters():
        assert (found[name] - parameter.grad).norm() <= 1e-4 * parameter.grad.norm(), name


def test_before_its_ramp_the_critic_learns_alone(make_codec: Callable[..., Codec]) -> None:
    module = lit(make_codec(quantizer="ste"))
    plain = LitCodec(module.codec, module.loss)
    batch = torch.rand(1, 3, 64, 64)
    torch.manual_seed(1)
    loss = module.terms(batch).loss
    loss.backward()
    found = {name: p.grad for name, p in module.named_parameters()}
    judging = [found[f"critic.{n}"] for n, p in module.critic.named_parameters() if p.dim() > 1]
    assert all(gradient.abs().sum() > 0 for gradient in judging)
    module.zero_grad()
    torch.manual_seed(1)
    alone = plain.terms(batch).loss
    alone.backward()
    assert float(loss.detach()) == float(alone.detach())
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, msg=name)


def test_a_run_logs_both_sides_and_leaves_a_codec(run: Run) -> None:
    result = run(*JUDGED, "critic.r1=0.1", "logger=csv", "trainer.max_steps=3", name="judged")
    assert result.steps == 3
    logged = rows(result)
    assert len(logged) == 3
    for row in logged:
        assert row["train/loss"] == pytest.approx(
            row["train/bpp"] + row["train/lmbda"] * row["train/distortion"], rel=1e-4
        )
        judged = 20 * row["train/adversarial"] + 10 * row["train/matching"]
        assert row["train/distortion"] == pytest.approx(
            255**2 * row["train/mse"] + judged, rel=1e-3
        )
        assert row["train/adversarial"] == pytest.approx(-row["train/critic_fake"], rel=1e-4)
        assert row["train/critic_grad_norm"] > 0
        assert {"train/critic_loss", "train/critic_real", "train/critic_r1"} <= row.keys()
    content = torch.load(result.best, weights_only=True)
    plain = torch.load(run("trainer.max_steps=1", name="plain").best, weights_only=True)
    for weights in ("state_dict", "raw_state_dict"):
        assert content[weights].keys() == plain[weights].keys()
    for optimizer in content["optimizer_states"]:  # as many steps of the critic as of the codec
        assert {float(state["step"]) for state in optimizer["state"].values()} == {3.0}
    assert tngexp.load(result.best).model.config == content["tngexp"]["codec"]


@pytest.fixture
def steps() -> Iterator[list[tuple[str, float, float]]]:
    """Of every optimizer step: whose it is, its learning rate, and the norm of the gradient."""
    made: list[tuple[str, float, float]] = []

    def after(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        (group,) = optimizer.param_groups
        if len(group["params"]) == 1:
            return  # a trial of the options
        norm = torch.cat([p.grad.flatten() for p in group["params"]]).norm()
        whose = "critic" if type(optimizer) is torch.optim.Adam else "codec"
        made.append((whose, group["lr"], float(norm)))

    hook = register_optimizer_step_post_hook(after)
    yield made
    hook.remove()


def test_both_follow_the_schedule_and_are_clipped_one_by_one(
    run: Run, steps: list[tuple[str, float, float]]
) -> None:
    run(
        *JUDGED, "critic_optimizer.lr=0.5", "optimizer.lr=0.001", "scheduler.warmup=1",
        "scheduler.decay_start=0.5", "scheduler.final=0.0", "scheduler.shape=linear",
        "trainer.max_steps=4", "trainer.gradient_clip_val=1e-3", "critic.spectral=false",
    )  # fmt: skip
    factors = [0.5, 1, 1, 0.5]
    assert [whose for whose, _, _ in steps] == ["codec", "critic"] * 4
    assert [lr for _, lr, _ in steps[::2]] == pytest.approx([0.001 * f for f in factors])
    assert [lr for _, lr, _ in steps[1::2]] == pytest.approx([0.5 * f for f in factors])
    assert [norm for _, _, norm in steps] == pytest.approx([1e-3] * 8, rel=1e-2)


def test_a_scheduler_of_torchs_moves_both(run: Run, steps: list[tuple[str, float, float]]) -> None:
    words = ["scheduler=constant", "+scheduler.gamma=0.5"]
    words += ["scheduler._target_=torch.optim.lr_scheduler.ExponentialLR"]
    run(*JUDGED, *words, "optimizer.lr=0.001", "critic_optimizer.lr=0.01", "trainer.max_steps=3")
    assert [lr for _, lr, _ in steps[::2]] == pytest.approx([0.001, 0.0005, 0.00025])
    assert [lr for _, lr, _ in steps[1::2]] == pytest.approx([0.01, 0.005, 0.0025])


def test_frozen_parts_stay_and_the_rest_learns(run: Run) -> None:
    first = run("trainer.max_steps=1", name="first")
    words = [f"init_from={first.last}", "freeze=[transform.analysis]", "trainer.max_steps=2"]
    result = run(*JUDGED, *words, name="second")
    before, after = (torch.load(r.last, weights_only=True)["state_dict"] for r in (first, result))
    still = {name for name, weight in before.items() if torch.equal(weight, after[name])}
    frozen = {name for name in before if name.startswith("codec.transform.analysis.")}
    assert frozen
    assert frozen <= still
    assert any(name.startswith("codec.transform.synthesis.") for name in before.keys() - still)


@pytest.mark.parametrize("side", ["logits", "weights"])
def test_an_exploding_critic_ends_the_run_with_the_last_good_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, side: str
) -> None:
    judge, calls = PatchCritic.judge, []

    def explode(self: Critic, x: Tensor, latent: Tensor) -> Any:
        calls.append(1)
        judgement = judge(self, x, latent)
        if len(calls) <= 2 * 2:  # two passes a step
            return judgement
        if side == "logits":
            return judgement._replace(logits=judgement.logits * float("inf"))
        # A finite loss whose slope is not.
        return judgement._replace(logits=(judgement.logits - judgement.logits.detach()).sqrt())

    monkeypatch.setattr(PatchCritic, "judge", explode)
    words = ["trainer.max_steps=6", "trainer.val_check_interval=2"]
    with pytest.raises(NonFiniteError, match=r"the critic's .* at step 3: .*critic_optimizer\.lr"):
        run(*JUDGED, *words, name="run")
    last = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 2
    for weights in ("state_dict", "critic_state_dict"):
        assert all(torch.isfinite(tensor).all() for tensor in last[weights].values())


def test_a_bad_codec_is_not_blamed_on_the_critic(run: Run) -> None:
    with pytest.raises(NonFiniteError, match=r"the loss is nan .*not finite: .*mse.*optimizer\.lr"):
        run(*JUDGED, "optimizer.lr=1e20", "trainer.max_steps=6", "scheduler.warmup=0")


@pytest.mark.filterwarnings("ignore")  # what Lightning says of any plain run
def test_a_plain_trainer_trains_saves_and_loads_it(tiny: list[str], tmp_path: Path) -> None:
    config = configuration(*tiny, *JUDGED)
    module = LitAdversarial.from_config(config, gradient_clip_val=1.0)
    trainer = pl.Trainer(
        max_steps=2, logger=False, accelerator="cpu", default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=instantiate(config["data"], "data"))
    trainer.save_checkpoint(tmp_path / "some.ckpt")
    again = LitAdversarial.load_from_checkpoint(tmp_path / "some.ckpt")
    assert again.hparams == module.hparams
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
    alone = LitCodec.load_from_checkpoint(tmp_path / "some.ckpt")
    assert alone.state_dict().keys() == module.state_dict().keys()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["critic=patch"], "MSELoss has not: choose loss=perceptual"),
        (
            [*JUDGED, "loss.adversarial.weight=0", "loss.adversarial.matching=0"],
            "are both 0, so the critic would judge in vain",
        ),
        ([*JUDGED, "loss.adversarial.kind=wgan"], "choose hinge or relativistic"),
        (
            [*JUDGED, "critic.channels=[4,4,4,4,4,4]"],
            r"data\.crop=64 is too small for this critic, .* 190 pixels; use e\.g\. data\.crop=192",
        ),
        ([*JUDGED, "critic.channels=[4]"], "two layers or more"),
        ([*JUDGED, "+critic.depth=3"], r"unknown option critic\.depth"),
        ([*JUDGED, "critic._target_=torch.nn.Identity"], r"critic\._target_=torch\.nn\.Identity"),
        ([*JUDGED, "critic_optimizer.lr=0"], r"critic_optimizer\.lr=0 must be above 0"),
        ([*JUDGED, "critic_optimizer=null"], "critic_optimizer is not set"),
        ([*JUDGED, "trainer.accumulate_grad_batches=2"], r"accumulate_grad_batches=2 .*critic"),
    ],
)
def test_what_cannot_work_is_one_message(
    run: Run, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(*words)
    assert not (tmp_path / "run").exists()


def test_a_scaled_loss_is_refused() -> None:  # which 16-mixed wants a GPU to get to
    with pytest.raises(ConfigError, match=r"trainer\.precision=16-mixed scales one loss"):
        check_trainer("16-mixed", 1)


def test_a_network_behind_other_codecs_has_no_critic(photos: Path, tmp_path: Path) -> None:
    words = ["model=hybrid", "base=jpeg", "critic=unet", "data=folder", f"data.root={photos}"]
    with pytest.raises(ConfigError, match="critic and post contradict each other"):
        train(configuration(*words, f"run_dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()
