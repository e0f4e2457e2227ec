"""From `MODEL/PRETRAINED` to a weights file on disk, without waiting for an absent network."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ncaudit.errors import ConfigError, WeightsError
from ncaudit.registry import suggest

_PROBE_TIMEOUT_S = 3.0
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".npz")
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights for an open_clip model.

    Attributes:
        model: A name in `open_clip.list_models()`.
        path: The weights file.
        settings: What the tag says about preprocessing and activations.
    """

    model: str
    path: Path
    settings: dict[str, Any] = field(default_factory=dict)


def resolve_checkpoint(name: str) -> Checkpoint:
    """Find the weights that `MODEL/PRETRAINED` names; download them if the hub answers.

    Raises:
        ConfigError: If the model or the tag is unknown to open_clip.
        WeightsError: If the file is missing, or is on a hub that cannot be reached.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    model, _, pretrained = name.partition("/")
    models = dict.fromkeys(open_clip.list_models())
    if model not in models:
        near = suggest(model, models) if models else ""
        hint = near if near.startswith("Did") else "List them: open_clip.list_models()."
        raise ConfigError(f"unknown open_clip model {model!r}", hint=hint)
    path = Path(pretrained).expanduser()
    if path.is_file():
        return Checkpoint(model, path, _common_settings(model))
    settings = get_pretrained_cfg(model, pretrained)
    if settings:
        return Checkpoint(model, _tag_file(model, pretrained, settings["hf_hub"]), settings)
    if "/" in pretrained or path.suffix in _SUFFIXES:
        raise WeightsError(f"no weights file at {path}", hint=_get_hint(model))
    tags = ", ".join(list_pretrained_tags_by_model(model)) or "none; pass a checkpoint's path"
    raise ConfigError(f"{model} has no weights named {pretrained!r}", hint=f"Known: {tags}.")


def hub_file(repo: str, names: list[str], *, hint: str) -> Path:
    """Return the first of `names` that is cached or can be fetched from a hub repository.

    Raises:
        WeightsError: At once, if none is cached and the hub does not answer.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    for name in names:
        cached = try_to_load_from_cache(repo, name)
        if isinstance(cached, str):
            return Path(cached)
    try:
        name = next((name for name in names if _is_on_hub(repo, name)), "")
        if name:
            return Path(hf_hub_download(repo, name))
    except OSError as error:
        raise WeightsError(f"cannot download {repo}: {error}", hint=hint) from error
    raise WeightsError(f"{repo} has none of {', '.join(names)}", hint=hint)


def _tag_file(model: str, tag: str, hub_name: str) -> Path:
    """Find the weights of a tag, given as "owner/repo/" or "owner/repo/file"."""
    repo, _, file = hub_name.rpartition("/")
    name = file or "open_clip_pytorch_model.bin"
    safe = "open_clip_model.safetensors" if not file else f"{Path(file).stem}.safetensors"
    names = list(dict.fromkeys((safe, name)))
    try:
        return hub_file(repo, names, hint=_get_hint(model))
    except WeightsError as error:
        raise WeightsError(f"no weights for {model}/{tag}: {error}", hint=error.hint) from error


def _get_hint(model: str) -> str:
    return (
        "Download the checkpoint on a machine with a network and pass its path: "
        f"--encoder {model}/path/to/file.safetensors. Or use --encoder bundled."
    )


def _is_on_hub(repo: str, name: str) -> bool:
    """Ask the hub once, with a short timeout, whether it has a file.

    Raises:
        OSError: If it cannot be reached, or HF_HUB_OFFLINE forbids to ask.
    """
    from huggingface_hub import constants, hf_hub_url

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true"):
        raise OSError("HF_HUB_OFFLINE is set")
    request = Request(hf_hub_url(repo, name), method="HEAD")  # noqa: S310 - https or HF_ENDPOINT
    try:
        with urlopen(request, timeout=_PROBE_TIMEOUT_S):  # noqa: S310 - as above
            return True
    except HTTPError as error:
        # Any other status, 401 of a gated repository for one, is the download's business.
        return error.code != _NOT_FOUND


def _common_settings(model: str) -> dict[str, Any]:
    """Return the settings that all tags of a model share, for a local checkpoint of it.

    A checkpoint file does not say how its images were normalised, and for SigLIP and
    others open_clip's default is wrong.
    """
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tags = [get_pretrained_cfg(model, tag) for tag in list_pretrained_tags_by_model(model)]
    if not tags:
        return {}
    return {k: v for k, v in tags[0].items() if all(tag.get(k) == v for tag in tags)}
