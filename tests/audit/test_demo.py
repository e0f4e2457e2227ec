"""The demo shards: what is written, where the truth lies, and what is refused."""

import csv
import io
import json
import tarfile
from itertools import groupby
from pathlib import Path

import pytest
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

from ncaudit.audit import demo, demo_scenes
from ncaudit.audit.demo import DemoSummary, make_demo
from ncaudit.errors import ConfigError, OutputExistsError


def read_members(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as file:
        return {member.name: file.extractfile(member).read() for member in file}


def read_truth(out: Path) -> dict[str, bool]:
    with (out / "truth.csv").open(newline="") as file:
        return {row["key"]: row["is_mismatched"] == "1" for row in csv.DictReader(file)}


def read_captions(summary: DemoSummary) -> dict[str, str]:
    members = {name: data for tar in summary.shards for name, data in read_members(tar).items()}
    texts = {name: data.decode() for name, data in members.items() if name.endswith(".txt")}
    return {name.removesuffix(".txt"): text for name, text in texts.items()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    return make_demo(tmp_path_factory.mktemp("demo") / "out", n_pairs=40, noise_rate=0.3)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    return make_demo(tmp_path_factory.mktemp("clean") / "out", n_pairs=40, noise_rate=0.0)


def test_same_seed_writes_the_same_bytes(small: DemoSummary, tmp_path: Path) -> None:
    again = make_demo(tmp_path, n_pairs=40, noise_rate=0.3)
    names = ["00000.tar", "truth.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (small.shards[0].parent / name).read_bytes()
    assert again.n_mismatched == small.n_mismatched


def test_another_seed_draws_other_pictures(small: DemoSummary, tmp_path: Path) -> None:
    other = make_demo(tmp_path, n_pairs=20, noise_rate=0.3, seed=1)
    assert other.shards[0].read_bytes() != small.shards[0].read_bytes()


def test_summary_counts_what_is_on_disk(small: DemoSummary) -> None:
    truth = read_truth(small.shards[0].parent)
    assert (small.n_pairs, small.n_mismatched, small.n_rejects) == (40, 12, 4)
    assert (len(truth), sum(truth.values())) == (40, 12)


def test_exactly_the_planted_captions_differ_from_the_clean_demo(
    small: DemoSummary, clean: DemoSummary
) -> None:
    assert not any(read_truth(clean.shards[0].parent).values())
    before, after = read_captions(clean), read_captions(small)
    differ = {key: before[key] != after[key] for key in read_truth(clean.shards[0].parent)}
    assert differ == read_truth(small.shards[0].parent)
    assert sorted(before.values()) == sorted(after.values())


def test_pictures_do_not_depend_on_the_noise(small: DemoSummary, clean: DemoSummary) -> None:
    before, after = read_members(clean.shards[0]), read_members(small.shards[0])
    jpegs = [name for name in before if name.endswith(".jpg")]
    assert all(before[name] == after[name] for name in jpegs)


def test_exchanged_captions_name_nothing_in_the_picture() -> None:
    clean, noisy = demo._plan(1200, 0, 0), demo._plan(1200, 240, 0)
    pairs = [(a, b) for a, b in zip(clean, noisy, strict=True) if b.is_mismatched]
    assert len(pairs) == 240
    owners = {sample.caption: sample for sample in clean}
    for own, given in pairs:
        donor = owners[given.caption]
        kinds = {item.kind for item in own.scene.items}
        assert kinds.isdisjoint(item.kind for item in donor.scene.items)
        assert not donor.is_vague or donor.scene.setting != own.scene.setting


def test_samples_have_picture_caption_and_fields(small: DemoSummary) -> None:
    members = read_members(small.shards[0])
    for key in read_truth(small.shards[0].parent):
        with Image.open(io.BytesIO(members[f"{key}.jpg"])) as image:
            image.load()
        fields = json.loads(members[f"{key}.json"])
        caption = members[f"{key}.txt"].decode()
        assert caption
        assert fields == {"caption": caption, "key": key, "width": 224, "height": 224}
        assert image.size == (224, 224)


def test_damaged_samples_are_one_of_each_kind(small: DemoSummary) -> None:
    members, truth = read_members(small.shards[0]), read_truth(small.shards[0].parent)
    keys = {name.partition(".")[0] for name in members} - truth.keys()
    heads = {members.get(f"{key}.jpg", b"none")[:4] for key in keys}
    assert len(keys) == 4
    assert heads == {b"\xff\xd8\xff\xe0", b"<!DO", b"none"}
    assert sum(not members[f"{key}.txt"] for key in keys) == 1
    whole = [f"{key}.jpg" for key in keys if members.get(f"{key}.jpg", b"").endswith(b"\xff\xd9")]
    assert len(whole) == 1  # the one with the empty caption; the other picture is cut short


def test_webdataset_groups_the_samples(small: DemoSummary) -> None:
    with small.shards[0].open("rb") as file:
        samples = list(group_by_keys(tar_file_expander([{"url": "demo", "stream": file}])))
    assert len(samples) == 44
    assert sum({"jpg", "json", "txt"} <= sample.keys() for sample in samples) == 43


def test_tar_headers_carry_no_trace_of_the_machine(small: DemoSummary) -> None:
    with tarfile.open(small.shards[0]) as tar:
        traces = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar}
    assert traces == {(0, 0, 0, "", "", 0o644)}


def test_pairs_are_dealt_into_shards_with_prefixed_keys() -> None:
    rows = demo._deal(demo._plan(650, 0, 0), 0)
    shards = [[key for key, _ in group] for _, group in groupby(rows, key=lambda row: row[0][:5])]
    assert [len(keys) for keys in shards] == [302, 301, 51]
    assert [keys[0] for keys in shards] == ["000000000", "000010000", "000020000"]
    assert all(len(key) == 9 for keys in shards for key in keys)


def test_progress_counts_the_pairs(tmp_path: Path) -> None:
    seen: list[int] = []
    make_demo(tmp_path, n_pairs=20, on_image=seen.append)
    assert seen == list(range(1, 21))


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputExistsError) as caught:
        make_demo(tmp_path, n_pairs=20)
    assert (caught.value.exit_code, bool(caught.value.hint)) == (5, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(OutputExistsError):
        make_demo(tmp_path / "mine.txt", n_pairs=20)


@pytest.mark.parametrize(
    "numbers",
    [{"n_pairs": 19}, {"noise_rate": 1.1}, {"noise_rate": -0.1}, {"seed": -1}],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, numbers: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        make_demo(tmp_path / "out", **numbers)
    assert not (tmp_path / "out").exists()


def test_a_single_caption_cannot_be_exchanged(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too few captions"):
        make_demo(tmp_path / "out", n_pairs=20, noise_rate=0.05)


def test_every_kind_and_setting_has_its_words() -> None:
    assert set(demo._WORDS) == set(demo_scenes.KINDS)
    assert set(demo._PLACES) == set(demo_scenes.SETTINGS)
    for _, settings, colours, _ in demo._WORDS.values():
        assert set(settings.split()) <= set(demo_scenes.SETTINGS)
        assert set(colours.split()) <= set(demo_scenes.COLOURS)
