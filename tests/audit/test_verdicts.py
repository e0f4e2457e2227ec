from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ncaudit.audit.decide import Human
from ncaudit.audit.verdicts import PairId, match_verdicts, read_verdicts
from ncaudit.errors import ConfigError

HEADER = "shard,key,caption_index,verdict\n"
PAIRS: dict[str, list[PairId]] = {"0": [("a", 0), ("a", 1), ("-b", 0)], "@x": [("c", 0)]}


def verdicts_file(folder: Path, text: str) -> Path:
    (folder / "verdicts.csv").write_text(text, encoding="utf-8")
    return folder / "verdicts.csv"


def test_verdicts_are_read_by_shard_and_pair(tmp_path: Path) -> None:
    text = "note,verdict,caption_index,key,shard\nx,match,0,a,0\n,mismatch,1,a,0\n"
    assert read_verdicts(verdicts_file(tmp_path, text)) == {
        "0": {("a", 0): Human.MATCH, ("a", 1): Human.MISMATCH}
    }


def test_rematch_accepts_the_proposal_and_unsure_says_nothing(tmp_path: Path) -> None:
    text = f"\ufeff{HEADER}0,a,0,rematch\n0,a,1,unsure\n"
    assert read_verdicts(verdicts_file(tmp_path, text)) == {
        "0": {("a", 0): Human.REMATCH, ("a", 1): Human.SILENT}
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shard,key,verdict\n", "no column caption_index"),
        ("", "no column shard, key, caption_index, verdict"),
        (f"{HEADER}0,a,0,bad\n", "line 2: unknown verdict 'bad'"),
        (f"{HEADER}0,a,first,match\n", "line 2: caption_index 'first' is no number"),
        (f"{HEADER}0,a,{'9' * 5000},match\n", "line 2: caption_index '9{80}' is no number"),
        (f"{HEADER}0,a\n", "line 2: unknown verdict 'None'"),
        (f"{HEADER}0,a,0,match\n0,a,0,mismatch\n", "line 3: two verdicts about 'a', caption 0"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_verdicts(verdicts_file(tmp_path, text))


def test_a_file_that_is_gone_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_verdicts(tmp_path / "gone.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_verdicts(tmp_path / "bytes.csv")


def test_names_match_raw_and_as_the_csv_shows_them() -> None:
    shown = {"0": {("'-b", 0): Human.MATCH}, "'@x": {("c", 0): Human.MATCH}}
    assert match_verdicts(shown, PAIRS, PAIRS.__getitem__) == {
        "0": {("-b", 0): Human.MATCH},
        "@x": {("c", 0): Human.MATCH},
    }


def test_unknown_pairs_are_all_listed() -> None:
    wrong = {
        "0": {("a", 0): Human.MATCH, ("a", 9): Human.MATCH, ("z\x1b", 0): Human.MATCH},
        "gone": {("a", 0): Human.MATCH},
    }
    with pytest.raises(ConfigError) as caught:
        match_verdicts(wrong, PAIRS, PAIRS.__getitem__)
    assert str(caught.value).splitlines() == [
        "3 verdicts are about pairs this run does not have:",
        "  0,a,9",
        "  0,z\\x1b,0",
        "  gone,a,0",
    ]


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["match", "mismatch", "0", "1", '"', ",", "\n", "\0", "\ufeff", "9" * 30]
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(cells, max_size=5).map(",".join), max_size=5) | st.binary(max_size=60))
def test_any_file_is_read_or_refused(tmp_path: Path, content: list[str] | bytes) -> None:
    path = tmp_path / "any.csv"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(HEADER + "\n".join(content), encoding="utf-8")
    try:
        found = read_verdicts(path)
    except ConfigError:
        return
    assert all(index >= 0 for pairs in found.values() for _, index in pairs)
