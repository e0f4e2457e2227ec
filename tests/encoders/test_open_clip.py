"""Names, tags and checkpoints of open_clip."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ncaudit.encoders import encoder_card_digest, load_encoder
from ncaudit.errors import ConfigError, WeightsError
from ncaudit.types import Fit, Preprocess
from tests.encoders.conftest import TINY_MODEL


def test_checkpoint_is_an_aligned_encoder(save_tiny: Callable[[str, int], str]) -> None:
    encoder = load_encoder(save_tiny("card.safetensors", 0), "cpu")
    card = encoder.card
    assert (card.aligned, card.image_dim, card.caption_dim) == (True, 24, 24)
    assert (list(card.weights), card.dtype) == (["card.safetensors"], "float32")
    assert encoder.preprocess == Preprocess(32, Fit.CROP)


def test_other_weights_under_the_same_name_change_the_card(
    save_tiny: Callable[[str, int], str],
) -> None:
    name = save_tiny("changing.safetensors", 0)
    before = encoder_card_digest(load_encoder(name, "cpu").card)
    save_tiny("changing.safetensors", 1)
    assert encoder_card_digest(load_encoder(name, "cpu").card) != before


def test_tag_without_network_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A closed port of this machine stands in for an absent network.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_url", lambda repo, name: f"http://127.0.0.1:9/{repo}/{name}"
    )
    start = time.monotonic()
    with pytest.raises(WeightsError, match="cannot download") as caught:
        load_encoder("ViT-B-32/datacomp_xl_s13b_b90k", "cpu")
    assert time.monotonic() - start < 5
    assert caught.value.exit_code == 7
    assert "ViT-B-32/path/to/file.safetensors" in caught.value.hint
    assert "--encoder bundled" in caught.value.hint


def test_offline_mode_is_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE"):
        load_encoder("ViT-B-32/openai", "cpu")


def test_unknown_model_suggests_a_near_one() -> None:
    with pytest.raises(ConfigError, match="ViT-B-33") as caught:
        load_encoder("ViT-B-33/openai", "cpu")
    assert caught.value.hint.startswith("Did you mean 'ViT-")


def test_unknown_tag_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="datacomp_xxl") as caught:
        load_encoder("ViT-B-32/datacomp_xxl", "cpu")
    assert "datacomp_xl_s13b_b90k" in caught.value.hint


def test_missing_checkpoint_is_named() -> None:
    with pytest.raises(WeightsError, match=r"no/such\.safetensors"):
        load_encoder("ViT-B-32/no/such.safetensors", "cpu")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_file_that_is_no_checkpoint_is_refused(
    save_tiny: Callable[[str, int], str], tmp_path: Path, suffix: str
) -> None:
    save_tiny("registers-the-model.pt", 0)
    path = tmp_path / f"junk{suffix}"
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="cannot load"):
        load_encoder(f"{TINY_MODEL}/{path}", "cpu")


def test_checkpoint_of_another_model_is_refused(
    save_tiny: Callable[[str, int], str],
) -> None:
    path = save_tiny("small.pt", 0).partition("/")[2]
    with pytest.raises(WeightsError, match="cannot load"):
        load_encoder(f"ViT-S-32-alt/{path}", "cpu")


def test_unknown_encoder_suggests_a_near_one() -> None:
    with pytest.raises(ConfigError) as caught:
        load_encoder("bundeld", "cpu")
    assert caught.value.hint == "Did you mean 'bundled'?"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_towers_say_so_and_give_nearly_the_same(
    save_tiny: Callable[[str, int], str],
) -> None:
    name = save_tiny("compiled.safetensors", 0)
    plain, compiled = (load_encoder(name, "cpu", torch_compile=flag) for flag in (False, True))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    pixels = np.resize(pixels, (3, *[plain.preprocess.size_px] * 2, 3))
    captions = ["a dog in the snow", "two red cars"]
    np.testing.assert_allclose(
        compiled.encode_images(pixels), plain.encode_images(pixels), atol=1e-5
    )
    np.testing.assert_allclose(
        compiled.encode_captions(captions), plain.encode_captions(captions), atol=1e-5
    )
    assert compiled.card.dtype == "float32, compiled"
    assert encoder_card_digest(compiled.card) != encoder_card_digest(plain.card)


def test_only_models_of_open_clip_are_compiled() -> None:
    with pytest.raises(ConfigError, match="cannot be compiled") as error:
        load_encoder("bundled", "cpu", torch_compile=True)
    assert "--torch-compile" in error.value.hint
