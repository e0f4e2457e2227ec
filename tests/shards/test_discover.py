import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import fsspec
import pytest

from ncaudit.errors import InputError
from ncaudit.shards.discover import discover_shards


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)


def names(*patterns: object) -> list[str]:
    return [shard.name for shard in discover_shards([str(pattern) for pattern in patterns])]


def test_a_folder_gives_every_tar_in_it_sorted(tmp_path: Path) -> None:
    touch(tmp_path / "b/1.tar", tmp_path / "a/1.tar", tmp_path / "0.tar.gz", tmp_path / "9.tgz")
    touch(tmp_path / "0.parquet", tmp_path / "0_stats.json")
    assert names(tmp_path) == ["0", "9", "a/1", "b/1"]


def test_a_folder_search_leaves_out_hidden_temporary_and_rejected(tmp_path: Path) -> None:
    touch(tmp_path / "0.tar", tmp_path / "1.tar", tmp_path / ".hidden.tar")
    touch(tmp_path / ".tmp-7-2.tar", tmp_path / "rejected/0.tar", tmp_path / ".cache/3.tar")
    assert names(tmp_path) == ["0", "1"]
    assert names(tmp_path / "**") == ["0", "1"]


def test_a_rejected_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    touch(tmp_path / "rejected/0.tar", tmp_path / "rejected/1.tar")
    assert names(tmp_path / "rejected") == ["0", "1"]
    assert names(tmp_path / "rejected/*.tar") == ["0", "1"]


def test_a_hidden_or_rejected_folder_above_the_root_does_not_matter(tmp_path: Path) -> None:
    root = tmp_path / ".data/rejected/set"
    touch(root / "0.tar", root / "1.tar")
    assert names(root) == ["0", "1"]


def test_a_glob_gives_only_tars(tmp_path: Path) -> None:
    touch(tmp_path / "0.tar", tmp_path / "1.tar", tmp_path / "0.json", tmp_path / "d.tar/2.tar")
    assert names(tmp_path / "*") == ["0", "1"]


def test_a_brace_range_gives_its_members(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{n:05d}.tar" for n in range(4)))
    assert names(tmp_path / "{00001..00002}.tar") == ["00001", "00002"]


def test_a_missing_member_of_a_brace_range_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "00000.tar")
    with pytest.raises(InputError, match=r"00001\.tar does not exist"):
        names(tmp_path / "{00000..00001}.tar")


def test_a_file_whose_name_has_braces_or_stars_is_found(tmp_path: Path) -> None:
    touch(tmp_path / "{0..1}.tar", tmp_path / "[a].tar")
    assert names(tmp_path / "{0..1}.tar", tmp_path / "[a].tar") == ["[a]", "{0..1}"]


def test_a_list_gives_its_lines(tmp_path: Path) -> None:
    touch(tmp_path / "0.tar", tmp_path / "1.tar")
    listed = tmp_path / "list.txt"
    listed.write_text(f"# shards\n{tmp_path}/1.tar\n\n  {tmp_path}/0.tar\n")
    assert names(f"@{listed}") == ["0", "1"]


def test_a_missing_entry_of_a_list_is_named(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{tmp_path}/7.tar\n")
    with pytest.raises(InputError, match=r"7\.tar does not exist"):
        names(f"@{listed}")


@pytest.mark.parametrize("content", [b"\xff\xfe\xff", b"@other.txt\n", None])
def test_a_list_that_is_no_list_is_refused(tmp_path: Path, content: bytes | None) -> None:
    listed = tmp_path / "list.txt"
    if content is not None:
        listed.write_bytes(content)
    with pytest.raises(InputError, match="list"):
        names(f"@{listed}")


def test_an_empty_list_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# none\n")
    with pytest.raises(InputError, match=r"no \.tar shards in @"):
        names(f"@{tmp_path}/list.txt")


def test_one_file_is_called_by_its_base_name_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path / "a/00000.tar", tmp_path / "a/shard.dat")
    assert names(tmp_path / "a/00000.tar") == ["00000"]
    assert names(tmp_path / "a/shard.dat") == ["shard.dat"]


def test_a_shard_found_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path / "0.tar", tmp_path / "1.tar")
    assert names(tmp_path, tmp_path / "*.tar", tmp_path / "0.tar") == ["0", "1"]


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "0.tar")
    monkeypatch.chdir(tmp_path)
    (shard,) = discover_shards(["0.tar"])
    assert shard.path == str(tmp_path / "0.tar")


def test_size_and_modification_time_are_told(tmp_path: Path) -> None:
    touch(tmp_path / "0.tar")
    os.utime(tmp_path / "0.tar", ns=(1, 1_234_567_890_123_456_789))
    (shard,) = discover_shards([str(tmp_path)])
    assert (shard.n_bytes, shard.modified) == (10, "1234567890123456789")


def test_linked_shards_and_folders_are_found(tmp_path: Path) -> None:
    touch(tmp_path / "store/0.tar", tmp_path / "store/sub/1.tar")
    data = tmp_path / "data"
    data.mkdir()
    (data / "0.tar").symlink_to(tmp_path / "store/0.tar")
    (data / "sub").symlink_to(tmp_path / "store/sub")
    (data / "loop").symlink_to(data)
    assert [shard.path for shard in discover_shards([str(data)])] == [
        str(data / "0.tar"),
        str(data / "sub/1.tar"),
    ]
    assert names(data / "*.tar") == ["0"]


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "0.tar")
    (tmp_path / "1.tar").symlink_to(tmp_path / "gone.tar")
    with pytest.raises(InputError, match=r"1\.tar is not a regular file"):
        names(tmp_path)


def test_nothing_found_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"no \.tar shards in .*/data") as caught:
        names(tmp_path / "data")
    assert caught.value.hint
    with pytest.raises(InputError, match="does not exist"):
        names(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no \.tar shards match"):
        names(tmp_path / "*.tar")
    with pytest.raises(InputError, match="does not exist"):
        names(tmp_path / "data/x.tar/y")
    with pytest.raises(InputError, match="empty list"):
        names()


@pytest.mark.parametrize(
    "pattern", ["pipe:cat x.tar", "nosuch://b/x.tar", "simplecache::memory://x.tar", "{a,b.tar"]
)
def test_what_cannot_be_looked_up_is_an_input_error(pattern: str) -> None:
    with pytest.raises(InputError):
        names(pattern)


def test_hugging_face_paths_without_their_package_name_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    registry = import_module("fsspec.registry")._registry
    monkeypatch.delitem(registry, "hf", raising=False)
    with pytest.raises(InputError, match="nothing here reads hf:// URLs") as caught:
        names("hf://datasets/user/repo/data")
    assert "pip install 'ncaudit[hf]'" in caught.value.hint


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_one_line_and_a_hint(tmp_path: Path) -> None:
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    words = ["score", "hf://datasets/user/repo/data", "-q", "-o", str(tmp_path / "audit")]
    done = subprocess.run(
        [sys.executable, "-m", "ncaudit", *words],
        env=os.environ | closed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    told = " ".join(done.stderr.split())
    assert "hf://datasets/user/repo/data cannot be looked up: ConnectError" in told
    assert "Check the address, the network and the credentials." in told
    assert "Traceback" not in told


def test_a_pipe_is_no_shard(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.tar")
    with pytest.raises(InputError, match="not a regular file"):
        names(tmp_path / "0.tar")


def test_two_shards_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "0.tar", tmp_path / "0.tar.gz")
    with pytest.raises(InputError, match="would both be called '0'"):
        names(tmp_path)


def test_a_shard_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a\n.tar", tmp_path / "b.tar")
    with pytest.raises(InputError, match="not a name"):
        names(tmp_path)


def test_urls_are_found_and_mixed_with_local_paths(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    for name in ("a/0.tar", "b/0.tar", "b/rejected/0.tar"):
        fs.pipe(f"/discover/{name}", b"xyz")
    assert names("memory://discover") == ["a/0", "b/0"]
    assert names("memory://discover/*/0.tar") == ["a/0", "b/0"]
    assert names("memory://discover/{a,b}/0.tar") == ["a/0", "b/0"]
    assert names("memory://discover/b/0.tar") == ["0"]
    touch(tmp_path / "0.tar")
    both = discover_shards(["memory://discover/a", str(tmp_path)])
    assert [shard.path for shard in both] == [
        str(tmp_path / "0.tar"),
        "memory:///discover/a/0.tar",
    ]
    assert both[1].n_bytes == 3
    assert both[1].modified
    assert not any(shard.name.startswith("/") for shard in both)


@pytest.mark.parametrize("pattern", ["", " "])
def test_an_empty_name_is_not_the_current_folder(pattern: str) -> None:
    with pytest.raises(InputError, match="a name of shards is empty"):
        discover_shards([pattern])


def test_what_only_resembles_a_url_is_refused() -> None:
    with pytest.raises(InputError, match=r"http://\.\.\. cannot be looked up"):
        discover_shards(["http://[bad/x.tar"])
