"""A loss that holds a network, inside of the Lightning module."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tngexp.losses import Distortion, MSELoss, RateDistortionLoss
from tngexp.model.codec import Codec
from tngexp.training.callbacks.ema import EMA
from tngexp.training.module import LitCodec
from tngexp.training.validation import image_scalars


class Features(RateDistortionLoss):
    """Distance of features of a network."""

    def __init__(self, trained: bool) -> None:
        super().__init__(0.01, 0.001, 0.1)
        self.network = nn.Conv2d(3, 4, 3).requires_grad_(trained)

    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        far = (self.network(x) - self.network(x_hat)).square().mean((1, 2, 3))
        return Distortion(far, {"far": far})


def lit(codec: Codec, loss: RateDistortionLoss) -> LitCodec:
    return LitCodec(
        codec,
        loss,
        lambda p: torch.optim.SGD(p, lr=1.0),
    )


@pytest.mark.parametrize("trained", [False, True])
def test_its_network_is_no_part_of_the_weights(
    make_codec: Callable[..., Codec], trained: bool
) -> None:
    codec = make_codec()
    module = lit(codec, Features(trained))
    plain = lit(codec, MSELoss(0.01, 0.001, 0.1))
    state = module.state_dict()
    assert state.keys() == plain.state_dict().keys()
    assert all(name.startswith("codec.") for name in state)
    module.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"codec\.transform"):
        module.load_state_dict({})

    in_optimizer = module.configure_optimizers().param_groups[0]["params"]
    extra = len(in_optimizer) - len(list(codec.parameters()))
    assert extra == (2 if trained else 0)

    ema, trainer = EMA(), SimpleNamespace(global_step=1)
    ema.on_fit_start(trainer, module)  # type: ignore[arg-type]
    checkpoint: dict[str, Any] = {"state_dict": state}
    module.on_save_checkpoint(checkpoint)
    ema.on_save_checkpoint(trainer, module, checkpoint)  # type: ignore[arg-type]
    assert checkpoint["state_dict"].keys() == state.keys()
    assert ("loss_state_dict" in checkpoint) == trained


def test_a_trained_network_of_a_loss_resumes(make_codec: Callable[..., Codec]) -> None:
    codec = make_codec()
    checkpoint: dict[str, Any] = {}
    first, second = Features(True), Features(True)
    lit(codec, first).on_save_checkpoint(checkpoint)
    lit(codec, second).on_load_checkpoint(checkpoint)
    assert torch.equal(first.network.weight, second.network.weight)


@torch.no_grad()
def test_its_terms_are_logged_by_name(make_codec: Callable[..., Codec]) -> None:
    module = lit(make_codec(), Features(False)).eval()
    assert not module.loss.network.training  # type: ignore[union-attr]
    (result,) = module.validation_step(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), 0)
    scalars = image_scalars(result)
    assert scalars["far"] == pytest.approx(scalars["distortion"])
    plain = lit(make_codec(), MSELoss(0.01, 0.001, 0.1)).eval()
    (result,) = plain.validation_step(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), 0)
    # As before: the loss's own mse is not logged beside psnr, and 64 pixels have no MS-SSIM.
    assert image_scalars(result).keys() == {
        *("loss", "bpp", "y_bpp", "z_bpp", "distortion", "lmbda", "psnr")
    }
