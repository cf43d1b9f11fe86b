from __future__ import annotations

import functools
import itertools
import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch import Tensor, nn

from tngexp.datasets.folder import FolderDataModule
from tngexp.datasets.images import DataError, DataWarning
from tngexp.datasets.pack import pack
from tngexp.datasets.shards import ShardsDataModule
from tngexp.datasets.shards import read as shards_read
from tngexp.datasets.shards.order import WorkerShare
from tngexp.datasets.shards.stream import PackedPhoto
from tngexp.types import ConfigError

PHOTOS, HELD, SIDE, BATCH = 27, 4, 20, 3
TRAIN = PHOTOS - HELD  # a prime, so that nothing divides it


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photo k is filled with the value 10 + k, so that a crop tells where it came from."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        Image.new("RGB", (SIDE + number, SIDE), (10 + number,) * 3).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def packed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    index, _ = pack(photos, out, shard_mib=8 / 1024, min_side=16)
    assert len(index.shards) >= 4
    return out


@pytest.fixture
def copied(packed: Path, tmp_path: Path) -> Path:
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def _module(
    root: Path | str, start: int = 0, rank: int = 0, ranks: int = 1, **options: Any
) -> ShardsDataModule:
    options = {"crop": 16, "batch_size": BATCH, "val_images": HELD, "num_workers": 0, **options}
    module = ShardsDataModule(root, **{"shuffle": 4, **options})
    module._position = lambda: (start, rank, ranks)  # type: ignore[method-assign]
    return module


def _batches(root: Path | str, count: int, step: int = 0, **options: Any) -> list[Tensor]:
    start = step * BATCH * options.get("ranks", 1)
    module = _module(root, start, **options)
    return list(itertools.islice(module.train_dataloader(), count))


def _values(batch: Tensor) -> list[int]:
    return [int(image.max()) - 10 for image in batch]


def test_the_photos_are_those_of_the_folder(photos: Path, packed: Path):
    folder = FolderDataModule(photos, crop=16, val_images=HELD).photos
    shards = _module(packed)
    assert [photo.name for photo in shards.photos.val] == [photo.name for photo in folder.val]
    for ours, theirs in zip(shards.photos.val, folder.val, strict=True):
        assert (ours.decode() == theirs.decode()).all()
        assert ours.short_side == theirs.short_side
    assert all(image.shape[:2] == (1, 3) for image in shards.val_dataloader())
    steps = -(-TRAIN // BATCH)
    seen = [value for batch in _batches(packed, steps) for value in _values(batch)][:TRAIN]
    assert {f"{value}.png" for value in seen} == {photo.name for photo in folder.train}


@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (1, 2), (2, 0), (2, 2)])
def test_each_epoch_visits_each_photo_once_and_any_step_can_be_resumed(
    packed: Path, ranks: int, workers: int
):
    steps = 3 * TRAIN // (ranks * BATCH)
    streams = [
        _batches(packed, steps, rank=rank, ranks=ranks, num_workers=workers)
        for rank in range(ranks)
    ]
    order = []  # by sample number
    for step in range(steps):
        together = [_values(stream[step]) for stream in streams]
        order += [together[rank][k] for k in range(BATCH) for rank in range(ranks)]
    held = {int(Path(photo.name).stem) for photo in _module(packed).photos.val}
    epochs = [order[e * TRAIN : (e + 1) * TRAIN] for e in range(len(order) // TRAIN)]
    assert len(epochs) >= 2
    for epoch in epochs:
        assert sorted(epoch) == sorted(set(range(PHOTOS)) - held)
    assert epochs[0] != epochs[1]

    for step in (1, 4, steps - 2):
        for rank, stream in enumerate(streams):
            resumed = _batches(packed, 2, step, rank=rank, ranks=ranks, num_workers=workers)
            for ours, theirs in zip(resumed, stream[step:], strict=False):
                assert torch.equal(ours, theirs)


@pytest.mark.parametrize("images", [1, 2, 23, 64])
@pytest.mark.parametrize(("batch", "ranks", "workers"), [(1, 1, 1), (3, 2, 2), (4, 3, 5)])
def test_workers_divide_the_numbers_and_every_epoch(
    images: int, batch: int, ranks: int, workers: int
):
    workers = [
        WorkerShare(images, batch, rank, ranks, worker, workers)
        for rank in range(ranks)
        for worker in range(workers)
    ]
    limit = 200
    numbers = [[n for n in map(worker.number, range(limit)) if n < limit] for worker in workers]
    assert sorted(itertools.chain(*numbers)) == list(range(limit))
    for worker, own in zip(workers, numbers, strict=True):
        assert own == sorted(own)
        assert [worker.count(n) for n in range(limit)] == [
            sum(m < n for m in own) for n in range(limit)
        ]
    for epoch in range(5):
        shares = [worker.share(epoch) for worker in workers]
        taken = itertools.chain(*(range(*share) for share in shares))
        assert list(taken) == list(range(images))


def test_resuming_neither_decodes_nor_opens_what_is_passed_over(
    packed: Path, monkeypatch: pytest.MonkeyPatch
):
    module = _module(packed, start=5 * BATCH, shuffle=2)
    _ = module.photos
    decoded: list[str] = []
    opened: Counter[str] = Counter()
    decode, read = PackedPhoto.decode, shards_read._open

    def counted_decode(photo: PackedPhoto) -> Any:
        decoded.append(photo.name)
        return decode(photo)

    def counted_open(place: str) -> Any:
        opened[Path(place).name] += 1
        return read(place)

    monkeypatch.setattr(PackedPhoto, "decode", counted_decode)
    monkeypatch.setattr(shards_read, "_open", counted_open)
    next(iter(module.train_dataloader()))
    assert len(decoded) == BATCH
    assert len(opened) <= 2  # of at least four


def test_the_seed_decides_the_order_and_the_crops(packed: Path):
    first = torch.cat(_batches(packed, 4))
    assert torch.equal(first, torch.cat(_batches(packed, 4)))
    assert not torch.equal(first, torch.cat(_batches(packed, 4, seed=1)))


class _Recorder(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.batches: list[Tensor] = []

    def training_step(self, batch: Tensor) -> Tensor:
        self.batches.append(batch.clone())
        return (self.scale * batch.float() / 255).mean()

    def validation_step(self, batch: Tensor, index: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.`")  # torch's, in Lightning
def test_a_resumed_training_continues_the_stream(packed: Path, tmp_path: Path):
    expected = _batches(packed, 6)
    checkpoint = None
    seen: list[Tensor] = []
    for stop in (2, 6):
        model = _Recorder()
        trainer = lightning.Trainer(
            max_steps=stop, check_val_every_n_epoch=None, limit_val_batches=0,
            callbacks=[ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=2)],
            accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
            enable_model_summary=False, use_distributed_sampler=False,
        )  # fmt: skip
        module = _module(packed)
        del module._position
        trainer.fit(model, datamodule=module, ckpt_path=checkpoint)
        checkpoint = tmp_path / f"step={stop}.ckpt"
        seen += model.batches
    assert len(seen) == 6
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_missing_or_truncated_shards_are_named_before_training(copied: Path):
    shard = copied / "shard-000002.tar"
    data = shard.read_bytes()
    shard.write_bytes(data[:-512])
    with pytest.raises(DataError, match=r"shard-000002\.tar is truncated") as caught:
        _module(copied).setup("fit")
    assert "\n" not in str(caught.value)
    shard.unlink()
    with pytest.raises(DataError, match=r"shard-000002\.tar is missing.*copy"):
        _module(copied).setup("fit")
    shard.write_bytes(data + data)
    with pytest.raises(DataError, match="not the one that was packed"):
        _module(copied).setup("fit")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("damage", ["cut", "header"])
def test_a_shard_that_ends_during_training_is_named(copied: Path, workers: int, damage: str):
    module = _module(copied, num_workers=workers)
    _ = module.photos  # it was whole at the start
    for shard in sorted(copied.glob("*.tar"))[2:]:
        data = shard.read_bytes()
        # The second member: cut in its data, or a header that is none.
        second = next(k for k in range(512, len(data), 512) if b".png" in data[k : k + 100])
        cut = data[: second + 520]
        broken = data[:second] + b"\xff" * 512 + data[second + 512 :]
        shard.write_bytes(cut if damage == "cut" else broken)
    with pytest.raises(DataError, match=r"cannot read .*shard-00000\d\.tar \(") as caught:
        list(itertools.islice(module.train_dataloader(), 20))
    assert "\n" not in str(caught.value)


def test_a_damaged_image_is_replaced_with_a_warning(photos: Path, tmp_path: Path):
    module = _module(_with_damage(photos, tmp_path, 1))
    val = [photo.name for photo in module.photos.val]
    with pytest.warns(DataWarning, match=r"cannot be used .*another photo takes its place") as seen:
        batches = list(itertools.islice(module.train_dataloader(), TRAIN // BATCH + 1))
    assert len(seen) == 1
    assert len(val) == HELD
    again = _module(_with_damage(photos, tmp_path, 1), start=3 * BATCH)
    with pytest.warns(DataWarning):
        resumed = list(itertools.islice(again.train_dataloader(), TRAIN // BATCH - 2))
    assert all(torch.equal(a, b) for a, b in zip(resumed, batches[3:], strict=True))


def test_only_damaged_images_are_an_error(photos: Path, tmp_path: Path):
    root = _with_damage(photos, tmp_path, TRAIN)
    with (
        pytest.warns(DataWarning),
        pytest.raises(DataError, match="none of 4 photos in a row can be used"),
    ):
        list(itertools.islice(_module(root).train_dataloader(), TRAIN))


def _with_damage(photos: Path, folder: Path, count: int) -> Path:
    """Shards of which the last ``count`` images are overwritten, at the same size."""
    index, _ = pack(photos, folder / "damaged", min_side=16, force=True)
    (shard,) = index.shards
    path = folder / "damaged" / shard.name
    data = path.read_bytes()
    at = [k for k in range(len(data)) if data.startswith(b"\x89PNG", k)]
    for k in at[-count:]:
        data = data[:k] + bytes(16) + data[k + 16 :]
    path.write_bytes(data)
    return path.parent


class _Quiet(SimpleHTTPRequestHandler):
    """Cuts the first ``cuts`` answers for each shard off after its first image."""

    cuts = 0
    asked: ClassVar[Counter[str]] = Counter()

    def log_message(self, *args: object) -> None:
        pass

    def send_head(self) -> Any:  # of GET and HEAD
        if not self.path.startswith("/private/"):
            return super().send_head()
        self.send_error(403)
        return None

    def do_GET(self) -> None:
        type(self).asked[self.path] += 1
        if self.path.endswith(".tar") and self.asked[self.path] <= self.cuts:
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:1600])
        else:
            super().do_GET()


@pytest.fixture
def server(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr(_Quiet, "asked", Counter())
    handler = functools.partial(_Quiet, directory=str(packed))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture
def memory(packed: Path) -> Iterator[str]:
    """The shards in fsspec's memory, which stands for every store that has a package of its own."""
    system = fsspec.filesystem("memory")
    for path in packed.iterdir():
        system.pipe(f"/bucket/{path.name}", path.read_bytes())
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", ["server", "memory"])
def test_a_url_gives_what_the_folder_gives(
    packed: Path, place: str, workers: int, request: pytest.FixtureRequest
):
    url = request.getfixturevalue(place)
    local = _batches(packed, 6, num_workers=workers)
    remote = _batches(f"{url}/", 6, num_workers=workers)
    assert all(torch.equal(a, b) for a, b in zip(local, remote, strict=True))
    names = [photo.name for photo in _module(url).photos.val]
    assert names == [photo.name for photo in _module(packed).photos.val]


def test_a_url_can_be_cached_on_disk(
    packed: Path, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(fsspec.config.conf, "filecache", {"cache_storage": str(tmp_path / "kept")})
    local, cached = _batches(packed, 6), _batches(f"filecache::{memory}", 6)
    assert all(torch.equal(a, b) for a, b in zip(local, cached, strict=True))
    sizes = {path.stat().st_size for path in packed.glob("*.tar")}
    assert sizes & {path.stat().st_size for path in (tmp_path / "kept").iterdir()}


def test_a_local_folder_is_read_without_fsspec(packed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards_read, "open_url", None)
    assert len(_batches(packed, 2)) == 2


def test_a_dropped_connection_is_taken_up_again(
    packed: Path, server: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shards_read.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(_Quiet, "cuts", 2)
    local, remote = _batches(packed, 4), _batches(server, 4)
    assert all(torch.equal(a, b) for a, b in zip(local, remote, strict=True))
    module = _module(server)
    module.setup("fit")
    monkeypatch.setattr(_Quiet, "cuts", 10**6)
    with pytest.raises(DataError, match=r"cannot read http.*shard-00000\d\.tar \("):
        list(itertools.islice(module.train_dataloader(), TRAIN))


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("SERVER/gone", r"cannot read http.*gone/index\.json \(not found\)\. Fix: check data\."),
        ("SERVER/private", r"private/index\.json \(ClientResponseError: 403.*\)\. Fix: check data"),
        ("http://127.0.0.1:9/x", r"index\.json \(ClientConnectorError: Cannot connect.*\)\. Fix: "),
        ("memory://gone", r"cannot read memory://gone/index\.json \(not found\)\. Fix: check data"),
        ("odd://host", r"data\.root: odd://host/index\.json .*not known: odd\)\. Fix: a folder,"),
        ("s3://bucket/x", r"data\.root: reading s3://.*package s3fs\. Fix: pip install s3fs\."),
        ("hf://datasets/a/b", r"reading hf://.*\. Fix: pip install huggingface_hub\."),
    ],
)
def test_a_url_that_cannot_be_read_is_one_message(
    server: str, root: str, message: str, monkeypatch: pytest.MonkeyPatch
):
    for package in ("s3fs", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, package, None)  # not installed
    with pytest.raises(DataError, match=message) as caught:
        _module(root.replace("SERVER", server)).setup("fit")
    assert "\n" not in str(caught.value)


def test_bad_input_is_one_message(copied: Path, monkeypatch: pytest.MonkeyPatch):
    for root in (None, ""):
        with pytest.raises(DataError, match=r"data\.root is not set.*datasets\.pack"):
            ShardsDataModule(root).setup("fit")
    with pytest.raises(DataError, match="gone does not exist"):
        _module(copied / "gone").setup("fit")
    with pytest.raises(DataError, match=r"photos from 20 pixels.*--min-side 64"):
        _module(copied, crop=64).setup("fit")
    with pytest.raises(DataError, match=r"data\.val_images=null"):
        _module(copied, val_images=None).setup("fit")
    with pytest.raises(ConfigError, match=r"data\.shuffle=0"):
        ShardsDataModule(copied, shuffle=0)
    index = copied / "index.json"
    content = json.loads(index.read_text())
    for name in ("../x.tar", "http://host/x.tar", "x.sh"):
        content["shards"][0]["name"] = name
        index.write_text(json.dumps(content))
        with pytest.raises(DataError, match="is not an index of shards"):
            _module(copied).setup("fit")
    index.write_text("{}")
    with pytest.raises(DataError, match="is not an index of shards"):
        _module(copied).setup("fit")
    index.unlink()
    with pytest.raises(DataError, match=r"has no index\.json.*--index"):
        _module(copied).setup("fit")


def test_without_the_library_the_message_says_what_to_install(
    packed: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "webdataset.tariterators", None)
    with pytest.raises(ConfigError, match=r"pip install 'tngexp\[shards\]'"):
        _module(packed).setup("fit")


def test_another_folder_may_validate(packed: Path, photos: Path):
    module = _module(packed, val_folder=photos, val_images=2)
    assert len(module.photos.val) == 2
    assert len(_module(packed, val_folder=photos, val_images=None).photos.val) == PHOTOS
    seen = [v for b in itertools.islice(module.train_dataloader(), PHOTOS // BATCH) for v in b]
    assert sorted(int(image.max()) - 10 for image in seen) == list(range(PHOTOS))
    with pytest.raises(DataError, match=r"data\.val_folder=.*gone does not exist"):
        _module(packed, val_folder=photos / "gone").setup("fit")
