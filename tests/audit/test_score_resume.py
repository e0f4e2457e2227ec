"""A run that is stopped anywhere, in any stage, ends as one that never was."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from ncaudit.audit import embed, obtain_model, score as module
from ncaudit.audit.score import score_shards
from ncaudit.config import ScoreConfig
from ncaudit.embeddings import embed_shard as embed_module, shard_source
from ncaudit.errors import ShardsFailedError
from tests.support.audits import digests, toy_encoders, write_striped
from tests.support.toy_encoder import ToyEncoder


def run(folder: Path, out: str, *, overwrite: bool = False) -> Any:
    # Few pairs and aligned towers: a model at once, without the seconds that fitting takes.
    config = ScoreConfig(shards=(str(folder / "shards"),), encoder="toy-aligned")
    with toy_encoders():
        return score_shards(config, folder / out, overwrite=overwrite)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_striped(folder, n_pairs=40)
    run(folder, "audit")
    return folder


PLACES = [
    (embed, "embed_shard", 3),
    (obtain_model, "save_model", 1),
    (module, "shard_table", 3),
    (module, "write_part", 3),
    (module, "merge_csv", 1),
    (module, "write_summary", 1),
    (module, "write_json", 1),
]


@pytest.mark.parametrize(
    ("place", "name", "call"),
    [(place, name, call) for place, name, n_calls in PLACES for call in range(1, n_calls + 1)],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    call: int,
    when: str,
) -> None:
    out = str(tmp_path / "audit")
    real, n_calls = getattr(place, name), 0

    def stop(*args: Any, **kwargs: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls < call:
            return real(*args, **kwargs)
        if when == "after":
            real(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(place, name, stop)
    with pytest.raises(KeyboardInterrupt):
        run(whole, out)
    monkeypatch.setattr(place, name, real)
    run(whole, out)
    assert digests(tmp_path / "audit") == digests(whole / "audit")


def test_finished_shards_are_not_done_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "audit")
    run(whole, out)
    (tmp_path / "audit/scores/1.parquet").unlink()
    written: list[str] = []
    real = module.write_part
    monkeypatch.setattr(
        module, "write_part", lambda path, table: (written.append(path.name), real(path, table))
    )
    monkeypatch.setattr(embed, "embed_shard", None)
    monkeypatch.setattr(obtain_model, "fit_model", None)
    run(whole, out)
    assert written == ["1.parquet"]
    assert digests(tmp_path / "audit") == digests(whole / "audit")


def test_a_shard_that_could_not_be_read_is_tried_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = str(tmp_path / "audit"), embed_module.open_shard

    def open_all_but_one(path: str) -> Any:
        if path.endswith("1.tar"):
            raise shard_source.ShardReadError("the network is down")
        return real(path)

    monkeypatch.setattr(embed_module, "open_shard", open_all_but_one)
    for _ in range(2):
        summary = run(whole, out)
        assert summary.defects == {"1": "shard_unreadable: the network is down"}
        assert summary.counts.rejects == {"shard_unreadable": 1}
    monkeypatch.setattr(embed_module, "open_shard", real)
    assert run(whole, out).defects == {}
    assert digests(tmp_path / "audit") == digests(whole / "audit")


def test_a_full_disk_stops_the_run_and_it_goes_on_later(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    real = module.write_part
    monkeypatch.setattr(module, "write_part", fail)
    with pytest.raises(ShardsFailedError, match="is full"):
        run(whole, str(tmp_path / "audit"))
    monkeypatch.setattr(module, "write_part", real)
    run(whole, str(tmp_path / "audit"))
    assert digests(tmp_path / "audit") == digests(whole / "audit")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB"),
        RuntimeError("CUDA error: out of memory"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("tower", ["encode_images", "encode_captions"])
def test_a_device_out_of_memory_stops_the_run_and_it_goes_on_later(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, tower: str
) -> None:
    real, n_calls = getattr(ToyEncoder, tower), 0

    def fail_the_second_time(*args: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise error
        return real(*args)

    monkeypatch.setattr(ToyEncoder, tower, fail_the_second_time)
    with pytest.raises(ShardsFailedError, match="cpu is out of memory") as caught:
        run(whole, str(tmp_path / "audit"))
    assert "run the same command again" in caught.value.hint
    run(whole, str(tmp_path / "audit"))
    assert n_calls == 4
    assert digests(tmp_path / "audit") == digests(whole / "audit")


def test_an_encoder_that_does_not_fit_on_the_device_is_no_bug(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(embed, "load_encoder", fail)
    with pytest.raises(ShardsFailedError, match="out of memory"):
        run(whole, str(tmp_path / "audit"))
    assert not (tmp_path / "audit").exists()
