"""What evaluating costs beyond the networks: ``python benchmarks/evaluate.py CHECKPOINT KODAK``.

Times ``tngexp.evaluate`` on a folder of photos (real files, decoded again, all default metrics,
records) against the bare networks: one forward pass of analysis, hyper, context and synthesis on
the same images in float32. Reports the ratio; on Kodak it should stay below 3.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tngexp.common.configuration import CONF_DIR
from tngexp.datasets.images import Photo
from tngexp.evaluation import photos_to_measure
from tngexp.evaluation.evaluate import evaluate
from tngexp.io import load
from tngexp.model.codec import Codec
from tngexp.priors import Count
from tngexp.schema.store import register_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("photos", type=Path)
    arguments = parser.parse_args()
    register_config()
    from hydra import compose, initialize_config_dir

    with (
        tempfile.TemporaryDirectory() as out,
        initialize_config_dir(str(CONF_DIR), version_base="1.3"),
    ):
        config = compose(
            "evaluate",
            [
                f"checkpoint={arguments.checkpoint}",
                "data=folder",
                f"data.root={arguments.photos}",
                "qualities=[0.5]",
                f"out={out}",
                "logger=none",
            ],
        )
        _, photos = photos_to_measure({**config.data})
        codec = load(arguments.checkpoint)
        codec.compress(torch.zeros(3, 64, 64))  # compiled kernels and tables are not what is timed
        networks(codec, photos[:1])
        bare = networks(codec, photos)
        started = time.perf_counter()
        records, _ = evaluate(config)
        whole = time.perf_counter() - started
    coding = sum(r.measured.encode_s + r.measured.decode_s for r in records)
    print(f"{len(photos)} photos: evaluate {whole:.1f} s, of which coding {coding:.1f} s;")
    print(f"bare networks {bare:.1f} s; ratio {whole / bare:.2f}")


@torch.no_grad()
def networks(codec: Codec, photos: list[Photo]) -> float:
    """Seconds of the networks alone."""
    images = [tensor(photo) for photo in photos]
    started = time.perf_counter()
    for x in images:
        y = codec.transform.analysis(x)
        codec.prior.latents(y)
        codec.prior.walk(Count(time.perf_counter), None, codec.quantizer, tuple(y.shape))
        codec.transform.synthesis(y)
    return time.perf_counter() - started


def tensor(photo: Photo) -> Tensor:
    return torch.from_numpy(np.array(photo.decode())).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    main()
