"""One file, many machines: thread counts, vector widths, batch mates and devices.

Each variant runs in a process of its own, because torch and oneDNN choose their kernels once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from support import checkpoint, codec_config, needs_gpu, photo

import tngexp
from tngexp.bitstream import ImageCodec
from tngexp.bitstream.latents import LatentCoder
from tngexp.coding import read
from tngexp.model.codec import Codec
from tngexp.priors import ConditionalPrior

VARIANTS = {
    "as it is": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "torch without vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "torch with AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "torch with AVX-512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "oneDNN with SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN with AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "MKL with SSE4.2": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "numba for any CPU": {"NUMBA_CPU_NAME": "generic"},
}

# Decodes every file with every model and prints what it saw; codes the photo itself as well.
PROGRAM = """
import hashlib, json, sys, torch, tngexp
from pathlib import Path
from support import photo
from tngexp.coding import read
folder = Path(sys.argv[1])
seen = {}
for path in sorted(folder.glob("*.ckpt")):
    codec = tngexp.load(path)
    file = read((folder / f"{path.stem}.tng").read_bytes())
    y_hat, checksum = codec.prepare().latents.decode(file.streams[0], (16, 8, 8))
    own = codec.compress(photo(120, 100))
    codec.decompress(own)
    seen[path.stem] = [codec.fingerprint().hex(), checksum,
                       hashlib.sha256(y_hat.numpy().tobytes()).hexdigest(), own.hex()]
print(json.dumps(seen))
"""

MODELS = {
    "gmm": {"prior": "gmm"},
    "context": {"prior": "context", "quantizer": "soft_to_hard"},
    "checkerboard": {"prior": "checkerboard", "hyper": "depthwise"},
    "quadtree": {"prior": "quadtree", "hyper": "depthwise", "rate": "variable"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("machines")
    for name, choices in MODELS.items():
        codec = ImageCodec(spread(Codec.from_config(codec_config(**choices)))).eval()
        checkpoint(codec, path / f"{name}.ckpt")
        (path / f"{name}.tng").write_bytes(codec.compress(photo(120, 100)))
    return path


@torch.no_grad()
def spread(codec: Codec) -> Codec:
    """Latents and predicted parameters of an untrained codec, spread over many values."""
    convolutions = [m for m in codec.modules() if isinstance(m, torch.nn.Conv2d)]
    for module in convolutions:
        module.weight.mul_(1.3)
    return codec


@lru_cache
def run(folder: Path, variant: str) -> dict[str, Any]:
    if "AVX-512" in variant and "AVX512" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("torch runs AVX-512 kernels when told to, and this CPU has no such units")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={
            **os.environ,
            **VARIANTS[variant],
            "PYTHONPATH": str(Path(__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    seen: dict[str, Any] = json.loads(result.stdout)
    return seen


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "as it is"])
def test_every_machine_decodes_the_same_symbols(folder: Path, variant: str) -> None:
    reference, seen = run(folder, "as it is"), run(folder, variant)
    for name in MODELS:
        assert seen[name][:3] == reference[name][:3]


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "as it is"])
def test_every_machines_files_decode_here(folder: Path, variant: str) -> None:
    """The analysis transform is float32, so files may differ; all of them must decode here."""
    for name, (*_, own) in run(folder, variant).items():
        codec = tngexp.load(folder / f"{name}.ckpt")
        assert codec.decompress(bytes.fromhex(own)).size == (120, 100)


@torch.no_grad()
def test_batch_mates_do_not_change_the_parameters(folder: Path) -> None:
    """The exact networks give an image the same numbers alone and among others."""
    codec = tngexp.load(folder / "checkerboard.ckpt")
    prior, port = codec.model.prior, codec.prepare().latents
    assert isinstance(prior, ConditionalPrior)
    synthesis = port._networks[prior.hyper.synthesis]
    z = torch.randint(-5, 6, (7, 8, 3, 3)).double()
    together = synthesis(z)
    alone = torch.cat([synthesis(z[i : i + 1]) for i in range(7)])
    assert torch.equal(together, alone)


@needs_gpu
def test_files_cross_between_cpu_and_gpu(folder: Path) -> None:
    image = photo(120, 100)
    for name in MODELS:
        path = folder / f"{name}.ckpt"
        cpu, gpu = tngexp.load(path), tngexp.load(path).cuda()
        assert cpu.fingerprint() == gpu.fingerprint()
        for writer in (cpu, gpu):
            data = writer.compress(image)
            assert same_latents(cpu, gpu, data)
            assert [reader.decompress(data).size for reader in (cpu, gpu)] == 2 * [image.size]
        assert isinstance(gpu.prepare().latents, LatentCoder)


def same_latents(one: ImageCodec, two: ImageCodec, data: bytes) -> bool:
    """Whether both decode the same symbols and latents from a file of a photo of 120×100."""
    (a, first), (b, second) = (
        codec.prepare().latents.decode(read(data).streams[0], (16, 8, 8)) for codec in (one, two)
    )
    return first == second and torch.equal(a.cpu(), b.cpu())


def test_a_copy_of_a_codec_decodes_the_same_latents(folder: Path) -> None:
    path = folder / "gmm.ckpt"
    assert same_latents(tngexp.load(path), tngexp.load(path), (folder / "gmm.tng").read_bytes())
