import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ncaudit.audit.report import MAX_PICTURE_BYTES, write_report
from ncaudit.errors import InputError
from tests.support.runs import write_run
from tests.support.scored_runs import many_pairs, write_scored_run
from tests.support.shards import pair, write_shard

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202egpj"
THREE = {"00000": [("a", pair("red", HOSTILE)), ("b", pair("blue", "b")), ("c", pair("red", "c"))]}
P3 = {("a", 0): 0.9, ("b", 0): 0.5, ("c", 0): 0.1}


def page(run: Path, **options: Any) -> str:
    return write_report(run, **options).path.read_text("utf-8")


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_three_pairs_make_a_whole_page(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, THREE, P3, repairs={"a": "a red thing"})
    text = page(run)
    pairs = data_of(text)["pairs"]
    assert [(x["key"], x["p"]) for x in pairs] == [("a", 0.9), ("b", 0.5), ("c", 0.1)]
    assert pairs[0]["proposal"]["caption"] == "a red thing"
    assert pairs[0]["sets"] == ["worst", "borderline", "repairs", "sample"]
    assert "About 25.0 % of the pairs do not belong together" in text


def test_hostile_captions_stay_text(tmp_path: Path) -> None:
    text = page(write_scored_run(tmp_path, THREE, P3))
    assert text.count("<script") == 2
    assert "<img src=x" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert data_of(text)["pairs"][0]["caption"].endswith(r"\x1b[31m\u202egpj")


def test_the_policy_names_our_style_and_script_and_nothing_else(tmp_path: Path) -> None:
    text = page(write_scored_run(tmp_path, THREE, P3))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    for content in (style, script):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"sha256-{digest}" in policy.replace("&#39;", "'")
    assert "default-src &#39;none&#39;" in policy or "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg", "", script + style + policy)


def test_pictures_are_encoded_by_us_and_shared(tmp_path: Path) -> None:
    images = data_of(page(write_scored_run(tmp_path, THREE, P3)))["images"]
    assert len(images) == 2  # a and c are the same red
    for uri in images:
        assert base64.b64decode(uri.removeprefix("data:image/webp;base64,"))[8:12] == b"WEBP"


def test_pictures_stop_before_the_page_grows_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_PICTURE_BYTES < 20_000_000
    monkeypatch.setattr("ncaudit.audit.report.MAX_PICTURE_BYTES", 200)
    content = data_of(page(write_scored_run(tmp_path, THREE, P3)))
    assert sum(map(len, content["images"])) <= 200
    assert "no room" in next(x["problem"] for x in content["pairs"] if x["image"] is None)


def test_a_run_without_probabilities_says_so(tmp_path: Path) -> None:
    nothing = dict.fromkeys(P3)
    said = {"estimated_noise_rate": None, "banner": "3 pairs are too few", "self_check": {}}
    text = page(write_scored_run(tmp_path, THREE, nothing, said=said))  # type: ignore[arg-type]
    assert "No pair has a probability in this run" in text
    assert "3 pairs are too few" in text
    assert [x["sets"] for x in data_of(text)["pairs"]] == [["sample"]] * 3


def test_shards_that_are_gone_take_only_their_pictures(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, *many_pairs(10))
    (tmp_path / "shards/00000.tar").unlink()
    pairs = data_of(page(run))["pairs"]
    assert {x["shard"] for x in pairs if x["image"] is None} == {"00000"}
    assert {x["shard"] for x in pairs if x["image"] is not None} == {"00001"}


def test_images_that_cannot_be_shown_say_why(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, THREE, P3)
    broken = [("a", {"jpg": b"<html>", "txt": b"a"}), *THREE["00000"][1:]]
    write_shard(tmp_path / "shards/00000.tar", broken)
    problems = {x["key"]: x["problem"] for x in data_of(page(run))["pairs"]}
    assert problems["a"] == "The image cannot be shown: looks like HTML."


def test_reliability_is_drawn_where_the_run_kept_bins(tmp_path: Path) -> None:
    bins = [
        {"low": 0.0, "high": 0.5, "n_pairs": 30, "mean_p": 0.1, "mismatch_rate": 0.2},
        {"low": 0.5, "high": 1.0, "n_pairs": 0, "mean_p": None, "mismatch_rate": None},
    ]
    check = {"n_planted": 30, "auroc": 0.9, "reliability": bins}
    text = page(write_scored_run(tmp_path, THREE, P3, said={"self_check": check}))
    assert '<circle cx="20.0" cy="160.0"' in text
    assert text.count("<circle") == 1


def test_verdicts_of_people_are_in_the_report(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, THREE, P3)
    (run / "verdicts.csv").write_text(
        "shard,key,caption_index,verdict,weight,stratum,decided_at\n"
        "00000,a,0,mismatch,1,0.9-1.0,2026-01-01T00:00:00Z\n"
        "00000,b,0,match,1,0.5-0.6,2026-01-01T00:00:00Z\n"
    )
    text = page(run)
    assert "2 pairs have been judged by people." in text
    assert "Mismatches among pairs at 0.50 or above: 50.0 %" in text


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, *many_pairs(40))
    assert page(run, out=tmp_path / "1.html") == page(run, out=tmp_path / "2.html")


def test_a_run_without_its_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"summary\.json cannot be read"):
        write_report(write_run(tmp_path, THREE, P3))


def test_plots_are_pictures(tmp_path: Path) -> None:
    written = write_report(write_scored_run(tmp_path, *many_pairs(40)), plots=tmp_path / "png")
    assert [path.name for path in written.plots] == ["histogram.png", "costs.png", "signals.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in written.plots)
