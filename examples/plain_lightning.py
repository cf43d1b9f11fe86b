"""A codec in a plain Trainer: ``python examples/plain_lightning.py [STEPS] [OPTION…]``.

Nothing of ``python -m tngexp.train`` runs here. The module logs, anneals and schedules by itself;
loggers, checkpoints and the progress bar are Lightning's own. Options are those of the command
line, such as ``data=folder data.root=PHOTOS``.
"""

import sys

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger

import tngexp
from tngexp.schema.compose import configuration
from tngexp.schema.instantiate import instantiate
from tngexp.training.module import LitCodec

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200
config = configuration("model=gmm", "loss=mse", "encoder.N=64", "encoder.M=96", *sys.argv[2:])

codec = LitCodec.from_config(config)
data = instantiate(config["data"], "data")
best = ModelCheckpoint("plain", "best", monitor="val/loss")
trainer = pl.Trainer(
    max_steps=steps,
    val_check_interval=max(1, steps // 4),
    check_val_every_n_epoch=None,  # the training data has no end, so there are no epochs
    gradient_clip_val=1.0,
    logger=CSVLogger("plain", name="log"),
    callbacks=[best, RichProgressBar()],
)
trainer.fit(codec, datamodule=data)

codec = LitCodec.load_from_checkpoint(best.best_model_path)
trainer.test(codec, datamodule=data)  # by real files: written, read again, compared

coder = tngexp.load(best.best_model_path)
print(f"{best.best_model_path}: files carry the id {coder.fingerprint().hex()}")
