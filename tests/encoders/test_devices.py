"""Devices by name, and what a run records of them."""

import json
import os
import subprocess
import sys

import pytest
import torch

from ncaudit.devices import (
    describe_device,
    one_thread,
    resolve_device,
    usable_cores,
    wait_quietly,
)
from ncaudit.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "has_cuda", "expected"),
    [
        ("cpu", True, "cpu"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_device_is_resolved(
    monkeypatch: pytest.MonkeyPatch, name: str, has_cuda: bool, expected: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_cuda)
    assert resolve_device(name) == expected


def test_absent_cuda_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device") as caught:
        resolve_device("cuda")
    assert (caught.value.exit_code, "--device cpu" in caught.value.hint) == (2, True)


def test_unknown_device_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_device("tpu")
    assert caught.value.hint == "Known: auto, cpu, cuda."


def test_description_is_json() -> None:
    description = json.loads(json.dumps(describe_device()))
    assert description["device"] == "cpu"
    assert description["n_cores"] >= 1


def test_importing_the_encoders_is_cheap() -> None:
    code = (
        "import sys, ncaudit.encoders, ncaudit.devices; "
        "print({'torch', 'timm', 'transformers', 'open_clip'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_fewer_threads_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = usable_cores()
    for asked, wanted in (("1", 1), ("0", cores), ("many", cores), ("100000", cores)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert usable_cores() == wanted


def test_one_thread_is_given_back() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_idle_threads_sleep_soon_unless_somebody_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_quietly()
    assert (os.environ["GOMP_SPINCOUNT"], os.environ["OPENBLAS_THREAD_TIMEOUT"]) == ("7", "16")
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    wait_quietly()
    assert "OPENBLAS_THREAD_TIMEOUT" not in os.environ
