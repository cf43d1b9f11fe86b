"""Training step, encoding and decoding against another commit, in one run.

    python benchmarks/against.py COMMIT [--models tng gmm] [--rounds 5]
    python benchmarks/against.py COMMIT --codecs tngexp/zoo/tng-objective-1.safetensors \
        tngexp/zoo/tng-objective.safetensors

Both trees take turns, each turn in a process of its own, so that what the machine does meanwhile
strikes both alike. Printed are medians of medians and their ratio: above 1 means that this tree is
slower. Weights are those of a codec that this tree ships for ``tng`` and ``tng2``, and random for
others; the picture has 768×512 pixels.

With ``--codecs`` coding alone is timed, with these codecs by turns in every process: the least CPU
seconds of one thread, and their ratio to those of the first codec in the other tree. A larger codec
that codes no slower here than the first one did there has ratios of at most 1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# By their files, since a name may mean another generation in the other tree.
SHIPPED = {"tng": "tng-objective-1", "tng2": "tng-objective"}

PICTURE = """
rows, columns = np.mgrid[0:512, 0:768] / 40.0
waves = np.stack([np.sin(rows + 2 * columns), np.cos(rows * columns), np.sin(3 * rows)], -1)
noise = np.random.default_rng(0).normal(0, 4, waves.shape)
image = Image.fromarray((128 + 70 * waves + noise).clip(0, 255).astype(np.uint8))
"""

# Runs in either tree, so it keeps to what both have.
CHILD = f"""
import json, statistics, sys, tempfile, time
from pathlib import Path
import numpy as np, torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
import tngexp
from tngexp.common.configuration import CONF_DIR
from tngexp.schema.store import register_config
from tngexp.model.build import build
from tngexp.model.codec import Codec
from tngexp.io import save
from tngexp.devices.allocator import keep_freed_memory
from tngexp.training.module import LitCodec
from tngexp.devices.precision import resolve_precision

model, repeats = sys.argv[1], int(sys.argv[2])
keep_freed_memory()
torch.manual_seed(0)
register_config()
with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
    config = compose("train", ["model=" + model, "loss=mse"])
OmegaConf.set_struct(config, False)
config.run_dir, config.name = ".", "step"
config.pop("hydra", None)
plain = OmegaConf.to_container(config, resolve=True)
codec = Codec.from_config(LitCodec.describe(plain), trusted=True)
codec = codec.to(memory_format=torch.channels_last)
loss = build(plain["loss"], trusted=True)
optimizer = torch.optim.AdamW(codec.parameters(), lr=1e-4, fused=True)
x = torch.rand(8, 3, 256, 256).contiguous(memory_format=torch.channels_last)
bf16 = "bf16" in resolve_precision("auto", torch.device("cpu"))

def step():
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        quality = codec.rate.sample(8)
        # Earlier trees ask the rate for lambda, later ones the loss.
        asked = codec.rate.lmbda(quality) if hasattr(codec.rate, "lmbda") else quality
        terms = loss(codec(x, quality), x, asked)
    terms.loss.backward()
    torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()

def median(run):
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)

codec.train()
seconds = dict(step=median(step))
if len(sys.argv) > 3:
    coder = tngexp.load(Path(sys.argv[3]))
else:
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        fresh = Codec.from_config(LitCodec.describe(plain), trusted=True).eval()
        save(fresh, Path(folder) / "codec.ckpt")
        coder = tngexp.load(Path(folder) / "codec.ckpt")
{PICTURE}data = coder.compress(image)
seconds["encode"] = median(lambda: coder.compress(image))
seconds["decode"] = median(lambda: coder.decompress(data))
print(json.dumps(dict(seconds=seconds, bytes=len(data))))
"""

# Likewise.
CODING = f"""
import json, sys, time
import numpy as np, torch
from PIL import Image
import tngexp
from tngexp.devices.allocator import keep_freed_memory

repeats, names = int(sys.argv[1]), sys.argv[2:]
keep_freed_memory()  # as the programs do
torch.set_num_threads(1)
{PICTURE}
codecs = {{name: tngexp.load(name) for name in names}}
seconds = dict()
for _ in range(repeats + 1):  # the first turn compiles and prepares
    for name, codec in codecs.items():
        start = time.process_time()
        data = codec.compress(image)
        middle = time.process_time()
        codec.decompress(data)
        turns = middle - start, time.process_time() - middle
        for what, spent in zip(("encode", "decode"), turns):
            seconds.setdefault(name + " " + what, []).append(spent)
print(json.dumps({{what: min(spent[1:]) for what, spent in seconds.items()}}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commit")
    parser.add_argument("--models", nargs="+", default=["tng", "gmm"])
    parser.add_argument("--codecs", nargs="+", default=[], help="time these and no models")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run(
            [*git, "add", "--quiet", "--detach", str(other), arguments.commit], check=True
        )
        try:
            if arguments.codecs:
                code(arguments.codecs, other, arguments.rounds, arguments.repeats)
                return
            for model in arguments.models:
                compare(model, other, arguments.rounds, arguments.repeats)
        finally:
            subprocess.run([*git, "remove", "--force", str(other)], check=True)


def compare(model: str, other: Path, rounds: int, repeats: int) -> None:
    found: dict[Path, list[dict[str, float]]] = {other: [], ROOT: []}
    sizes: dict[Path, int] = {}
    weights = [str(ROOT / f"tngexp/zoo/{SHIPPED[model]}.safetensors")] if model in SHIPPED else []
    for number in range(rounds):
        trees = [other, ROOT] if number % 2 == 0 else [ROOT, other]
        for tree in trees:
            result = run(tree, CHILD, model, str(repeats), *weights)
            found[tree].append(result["seconds"])
            sizes[tree] = result["bytes"]
    print(f"model={model}: {sizes[other]} bytes there, {sizes[ROOT]} here")
    for what in found[ROOT][0]:
        there, here = (statistics.median(r[what] for r in found[tree]) for tree in (other, ROOT))
        print(f"  {what:<7} {there:.4f} s there, {here:.4f} s here: ratio {here / there:.3f}")


def code(codecs: list[str], other: Path, rounds: int, repeats: int) -> None:
    names = [str(Path(name).resolve()) if Path(name).exists() else name for name in codecs]
    least: dict[Path, dict[str, float]] = {other: {}, ROOT: {}}
    for number in range(rounds):
        for tree in [other, ROOT] if number % 2 == 0 else [ROOT, other]:
            for what, seconds in run(tree, CODING, str(repeats), *names).items():
                least[tree][what] = min(seconds, least[tree].get(what, seconds))
    print("CPU seconds, and their ratio to those of the first codec there")
    for name, path in zip(codecs, names, strict=True):
        for what in ("encode", "decode"):
            first = least[other][f"{names[0]} {what}"]
            there, here = (least[tree][f"{path} {what}"] for tree in (other, ROOT))
            print(
                f"  {what} {name}: {there:.4f} s there ({there / first:.3f}), "
                f"{here:.4f} s here ({here / first:.3f})"
            )


def run(tree: Path, program: str, *arguments: str) -> dict:
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
