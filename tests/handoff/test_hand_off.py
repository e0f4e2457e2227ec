"""Trainers and loaders read what `ncaudit clean` wrote, by the commands of docs/hand-off.md."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from ncaudit.cli.clean import loader_size, training_command
from tests.support.audits import ncaudit
from tests.support.trainable import clean_striped, run

PAGE = (Path(__file__).parents[2] / "docs/hand-off.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
# The newest release that the loader of open_clip_train 3.3 works with is 0.2.86.
TOO_NEW = tuple(map(int, version("webdataset").split("."))) >= (0, 2, 96)
TINY = {
    "model_cfg": {
        "embed_dim": 8,
        "vision_cfg": {
            "image_size": 16,
            "layers": 1,
            "width": 16,
            "head_width": 8,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    },
    "preprocess_cfg": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handoff")
    done = clean_striped(folder, "--apply-rematch")
    assert done.exit_code == 0, done.output
    (folder / "printed").write_text(done.stdout.splitlines()[-1])
    return folder


def n_samples(folder: Path) -> int:
    return sum(json.loads((folder / "cleaned/sizes.json").read_text()).values())


@pytest.mark.slow
@pytest.mark.skipif(TOO_NEW, reason="open_clip_train 3.3 does not work with this webdataset")
def test_open_clip_trains_an_epoch_by_the_command_that_clean_prints(folder: Path) -> None:
    (folder / "tiny").mkdir()
    (folder / "tiny/open_clip_config.json").write_text(json.dumps(TINY))
    printed = (folder / "printed").read_text()
    done = run(f"{printed} --model local-dir:tiny --epochs 1 --name one", folder)
    assert done.returncode == 0, done.stderr
    assert "Train Epoch: 0" in done.stderr
    assert (folder / "logs/one/checkpoints/epoch_1.pt").exists()


@pytest.mark.slow
def test_hugging_face_datasets_loads_every_kept_sample(folder: Path) -> None:
    snippet = next(code for code in SNIPPETS if "load_dataset" in code)
    code = f"{snippet}\nprint(len(dataset), type(dataset[0]['jpg']).__name__, dataset[0]['txt'])"
    (folder / "hf.py").write_text(code)
    done = run("python -m hf", folder, HF_HOME=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == [str(n_samples(folder)), "JpegImageFile"]


@pytest.mark.slow
def test_webdataset_loads_every_kept_sample(folder: Path) -> None:
    snippet = next(code for code in SNIPPETS if "import webdataset" in code)
    code = f"seen = []\n{snippet.replace('...', 'seen.append(caption)')}\nprint(len(seen), *seen)"
    (folder / "loader.py").write_text(code)
    done = run("python -m loader", folder)
    assert done.returncode == 0, done.stderr
    sizes = json.loads((folder / "cleaned/sizes.json").read_text())
    assert done.stdout.split()[0] == str(sizes["00000.tar"])
    assert "red left" in done.stdout


@pytest.mark.slow
def test_ncaudit_trains_on_what_it_cleaned(folder: Path) -> None:
    done = ncaudit("train", folder / "cleaned", "-o", folder / "model", "--encoder", "toy", "-q")
    assert done.exit_code == 0, done.output
    assert (folder / "model/card.json").exists()


def test_the_printed_command_names_every_tar_and_sample(folder: Path) -> None:
    printed = (folder / "printed").read_text()
    assert f"--train-num-samples {n_samples(folder)}" in printed
    assert f"'{folder}/cleaned/{{00000..00001}}.tar'" in printed


def test_captions_that_open_clip_does_not_read_are_trained_on_by_ncaudit() -> None:
    command = training_command(Path("out"), {"0.tar": 9}, "json:captions")
    assert command == "ncaudit train out -o model --captions json:captions"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([5000] * 8, (4, 64)),
        ([5000, 5000], (2, 64)),
        ([100], (1, 64)),
        ([10], (1, 10)),
        ([100, 100, 100, 10], (2, 64)),
        ([30, 30, 30, 30], (1, 64)),
        ([40, 40, 40, 40], (2, 64)),
    ],
)
def test_every_worker_can_fill_a_batch(sizes: list[int], expected: tuple[int, int]) -> None:
    assert loader_size(sizes) == expected
