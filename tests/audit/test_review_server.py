from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ncaudit.audit.review import ReviewSession
from ncaudit.audit.review_server import TOKEN_HEADER, make_app
from ncaudit.audit.review_verdicts import read_verdict_rows
from ncaudit.errors import ConfigError
from tests.support.scored_runs import many_pairs, write_scored_run
from tests.support.shards import pair

PORT = 8123
OURS = {"Host": f"127.0.0.1:{PORT}", TOKEN_HEADER: "secret"}


def session(run: Path, n_pairs: int = 12) -> ReviewSession:
    return ReviewSession(run, n_pairs=n_pairs, threshold=0.5, seed=0)


def client(run: Path, n_pairs: int = 12) -> Any:
    return make_app(session(run, n_pairs), "secret", PORT).test_client()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_scored_run(tmp_path, *many_pairs(60), repairs={"00001": "better"})


def decide(client: Any, at: object, verdict: object) -> Any:
    return client.post("/verdict", json={"at": at, "verdict": verdict}, headers=OURS)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{PORT}"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {TOKEN_HEADER: ""},
        {TOKEN_HEADER: "wrong"},
    ],
)
def test_strangers_are_refused(run: Path, headers: Mapping[str, str]) -> None:
    web = client(run)
    for path in ("/state", "/picture/0"):
        assert web.get(path, headers=OURS | headers).status_code == 403
    answer = web.post("/verdict", json={"at": 0, "verdict": "match"}, headers=OURS | headers)
    assert answer.status_code == 403
    assert read_verdict_rows(run / "verdicts.csv") == {}


def test_the_page_itself_needs_no_token_but_our_host(run: Path) -> None:
    web = client(run)
    answer = web.get("/", headers={"Host": f"127.0.0.1:{PORT}"})
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert b"a thing number" not in answer.data
    assert web.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_verdicts_move_the_queue_and_are_kept(run: Path) -> None:
    web = client(run)
    state = decide(web, 0, "mismatch").get_json()
    assert (state["decided"], state["next"], state["pair"]["at"]) == (1, 1, 1)
    again = session(run).state()
    assert (again["decided"], again["next"]) == (1, 1)


def test_undo_goes_back_to_the_pair(run: Path) -> None:
    web = client(run)
    decide(web, 0, "match")
    decide(web, 1, "match")
    state = web.post("/undo", json={}, headers=OURS).get_json()
    assert (state["decided"], state["pair"]["at"]) == (1, 1)
    assert len(read_verdict_rows(run / "verdicts.csv")) == 1


def test_the_last_verdict_ends_the_queue(run: Path) -> None:
    review = session(run)
    for at in range(len(review)):
        review.decide(at, "unsure")
    state = review.state()
    assert (state["next"], state["noise"], state["n_unsure"]) == (None, None, len(review))


def test_estimates_follow_the_verdicts(run: Path) -> None:
    review = session(run, n_pairs=60)
    for at in range(len(review)):
        review.decide(at, "mismatch" if review.pair(at)["p"] >= 0.5 else "match")
    state = review.state()
    assert state["precision"]["estimate"] == 1
    assert state["noise"]["low"] < state["noise"]["estimate"] < state["noise"]["high"]
    assert state["model_noise"] == 0.25


@pytest.mark.parametrize(
    ("at", "verdict", "status"),
    [
        (99, "match", 404),
        (-1, "match", 404),
        ("0", "match", 400),
        (0, "rm", 400),
        (True, "x", 400),
    ],
)
def test_wrong_verdicts_are_refused(run: Path, at: object, verdict: str, status: int) -> None:
    assert decide(client(run), at, verdict).status_code == status


def test_only_a_pair_with_a_repair_can_be_repaired(run: Path) -> None:
    review = session(run, n_pairs=60)
    has = [bool(review.pair(at)["proposal"]) for at in range(len(review))]
    assert has.count(True) == 1
    review.decide(has.index(True), "rematch")
    with pytest.raises(ValueError, match="no repair"):
        review.decide(has.index(False), "rematch")


def test_pictures_are_ours_and_never_the_file(run: Path) -> None:
    answer = client(run).get("/picture/0", headers=OURS)
    assert (answer.mimetype, answer.data[8:12]) == ("image/webp", b"WEBP")


def test_a_picture_that_is_gone_says_so(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, {"00000": [("a", pair("red", "a"))]}, {})
    (tmp_path / "shards/00000.tar").unlink()
    answer = client(run).get("/picture/0", headers=OURS)
    assert (answer.status_code, answer.mimetype) == (422, "text/plain")
    assert str(tmp_path) not in answer.text


def test_a_run_without_probabilities_cannot_be_reviewed(tmp_path: Path) -> None:
    nothing: Any = {("a", 0): None}
    run = write_scored_run(tmp_path, {"00000": [("a", pair("red", "a"))]}, nothing)
    with pytest.raises(ConfigError, match="no pair of"):
        session(run)
