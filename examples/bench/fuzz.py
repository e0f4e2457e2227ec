"""Fuzz what reads strangers' bytes: the tar reader, the captions and verdicts.csv.

    pip install atheris
    python examples/bench/fuzz.py --work WORK --out docs/benchmarks/fuzz.json

Runs in slices of a minute until `--executions` or `--minutes` is reached, and records every
slice: stopped and started again, it goes on. An input that crashes, hangs or loses a pair
stays in WORK/TARGET as `crash-*` or `timeout-*`, and the script ends with 1.
"""

import argparse
import gzip
import io
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_INPUT_BYTES = 4096
SLICE_S = 60
BLOCK = tarfile.BLOCKSIZE


class InMemory:
    """The one method of a path that reading verdicts needs."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def open(self, *, encoding: str, newline: str) -> io.TextIOWrapper:
        """Open it as a text file."""
        return io.TextIOWrapper(io.BytesIO(self.content), encoding=encoding, newline=newline)

    def __str__(self) -> str:
        return "verdicts.csv"


def with_checksums(content: bytes) -> bytes:
    """Return a tar with right checksums, without which nothing behind them is reached."""
    blocks = [bytearray(content[at : at + BLOCK]) for at in range(0, len(content), BLOCK)]
    for block in blocks:
        if len(block) == BLOCK and block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join(blocks)


def check_tar(data: bytes) -> None:
    """Every sample has its pairs, and the samples lie in order within the tar."""
    from ncaudit.shards.captions import pairs_of
    from ncaudit.shards.read import read_samples
    from ncaudit.shards.samples import ShardDefect

    mode, content = data[:1], data[1:]
    content = with_checksums(content) if mode >= b"\x40" else content
    file = io.BytesIO(gzip.compress(content, 1) if mode >= b"\xf0" else content)
    items = list(read_samples(file))
    samples = items[:-1] if items and isinstance(items[-1], ShardDefect) else items
    position = 0
    for index, sample in enumerate(samples):
        assert sample.index == index
        assert position <= sample.start < sample.stop <= len(content)
        position = sample.stop
        assert len(pairs_of(sample)) >= 1
        f"{sample.key}{sample.detail}".encode()


def check_captions(data: bytes) -> None:
    """Every sample gives pairs that can be written, scored or rejected with a reason."""
    from ncaudit.shards.captions import pairs_of, sample_fields
    from ncaudit.shards.samples import Sample

    suffix = "txt" if data[:1] >= b"\x80" else "json"
    sample = Sample(0, "a", {suffix: data[1:]}, 0, 1024)
    for source in ("auto", "txt", "json:caption"):
        pairs = pairs_of(sample, source)
        assert [pair.caption_index for pair in pairs] == list(range(max(1, len(pairs))))
        for pair in pairs:
            pair.caption.encode()
            pair.detail.encode()
            assert pair.reject or pair.caption.strip()
    for value in sample_fields(sample).values():
        value.encode()


def check_verdicts(data: bytes) -> None:
    """A verdicts file is read or refused with a line for people."""
    from ncaudit.audit.verdicts import read_verdicts
    from ncaudit.errors import ConfigError

    content = data[1:] if data[:1] >= b"\x80" else b"shard,key,caption_index,verdict\n" + data[1:]
    try:
        verdicts = read_verdicts(InMemory(content))  # type: ignore[arg-type]
    except ConfigError:
        return
    assert all(index >= 0 for pairs in verdicts.values() for _, index in pairs)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "tar": check_tar,
    "captions": check_captions,
    "verdicts": check_verdicts,
}


def tar_seeds() -> list[bytes]:
    seeds = []
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as tar:
            for name, content in (("a.jpg", b"x"), ("a.txt", b"y"), ("é" * 60 + ".json", b"{}")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            link = tarfile.TarInfo("b.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
            tar.addfile(link)
        seeds += [mode + buffer.getvalue()[:4095] for mode in (b"\0", b"\x80", b"\xff")]
    return seeds


def seeds_of(target: str) -> list[bytes]:
    if target == "tar":
        return tar_seeds()
    if target == "captions":
        texts = ['{"caption": "a"}', '{"captions": ["a", "", 1]}', '{"uid": "u", "text": null}']
        return [b"\0" + text.encode() for text in texts] + [b"\xff\xef\xbb\xbfa dog"]
    return [b"\0" + b'0,a,0,match\n"x,y",b,1,mismatch\n', b"\xffshard,key,caption_index,verdict\n"]


def fuzz_here(target: str, words: list[str]) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["ncaudit", "tarfile", "json", "csv"]):
        import ncaudit.audit.verdicts
        import ncaudit.shards.captions
        import ncaudit.shards.read  # noqa: F401 - imported to be instrumented
    atheris.Setup([sys.argv[0], *words], TARGETS[target])
    atheris.Fuzz()


def run_slice(target: str, work: Path, seconds: int, runs: int) -> dict[str, Any]:
    """Fuzz a target for a while in a process of its own."""
    folder = work / target
    corpus = folder / "corpus"
    if not corpus.exists():
        corpus.mkdir(parents=True)
        for number, seed in enumerate(seeds_of(target)):
            (corpus / f"seed-{number}").write_bytes(seed)
    words = [f"-max_total_time={seconds}", f"-atheris_runs={runs}", "-timeout=10"]
    words += [f"-max_len={MAX_INPUT_BYTES}", f"-artifact_prefix={folder}/", "-rss_limit_mb=2048"]
    command = [sys.executable, __file__, "--child", target, "--", *words, str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    (folder / "last.log").write_text(done.stderr)
    counts = [int(n) for n in re.findall(r"^#(\d+)\s", done.stderr, re.MULTILINE)]
    ended = re.search(r"Done (\d+) runs? in (\d+) second", done.stderr)
    n_bad = sum(1 for _ in folder.glob("*-*"))
    if done.returncode and not n_bad:
        raise SystemExit(f"{target} could not be fuzzed:\n{done.stderr[-2000:]}")
    return {
        "executions": int(ended.group(1)) if ended else max(counts, default=0),
        "seconds": int(ended.group(2)) if ended else seconds,
        "n_crashes": n_bad,
    }


def totals(results: dict[str, dict[str, Any]]) -> tuple[int, int]:
    executions = sum(found["executions"] for found in results.values())
    return executions, sum(found["seconds"] for found in results.values())


def corpus_size(work: Path, target: str) -> dict[str, int]:
    sizes = [file.stat().st_size for file in (work / target / "corpus").iterdir()]
    return {"corpus_files": len(sizes), "corpus_bytes": sum(sizes)}


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


def record(out: Path, results: dict[str, dict[str, Any]], version: str) -> None:
    executions, seconds = totals(results)
    content = {
        "command": "examples/bench/fuzz.py",
        "commit": version,
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "processes": 1,
        "executions": executions,
        "seconds": seconds,
        "n_crashes": sum(found["n_crashes"] for found in results.values()),
        "targets": results,
    }
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(out)


def fuzz_all(work: Path, out: Path, executions: int, minutes: float) -> int:
    """Give the targets slices in turn; return 1 as soon as one of them fails."""
    empty = {"executions": 0, "seconds": 0, "n_crashes": 0}
    known = json.loads(out.read_text())["targets"] if out.exists() else {}
    version = commit()
    results = {target: dict(known.get(target, empty)) for target in TARGETS}
    while totals(results)[0] < executions and totals(results)[1] < 60 * minutes:
        target = min(TARGETS, key=lambda name: results[name]["seconds"])
        found = run_slice(target, work, SLICE_S, executions)
        at = results[target]
        at.update({name: at[name] + found[name] for name in ("executions", "seconds")})
        at.update(corpus_size(work, target), n_crashes=found["n_crashes"])
        record(out, results, version)
        print(f"{target}: {at}", flush=True)
        if found["n_crashes"]:
            return 1
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="folder of the corpus and of what crashed")
    parser.add_argument("--out", type=Path, help="JSON to write, and to go on from")
    parser.add_argument("--executions", type=int, default=10_000_000)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--child", choices=TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        fuzz_here(args.child, args.words)
    else:
        os.environ["PYTHONHASHSEED"] = "0"
        sys.exit(fuzz_all(args.work, args.out, args.executions, args.minutes))


if __name__ == "__main__":
    main()
