"""From a name to a backbone with its weights: our own, a folder's, or a model hub's."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import socket
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants as hub
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, Idefics3Model
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from stvlm.model.backbone import smollm2
from stvlm.model.backbone.base import CARD, DTYPES, HALF, Backbone, BackboneError, Card, tokenizer_errors
from stvlm.model.backbone.decoder_vlm import Idefics3, Qwen2VL
from stvlm.model.backbone.dual_encoder import DualEncoder, SingleStream
from stvlm.model.backbone.tiny import TINY_TOKENIZER, build_tiny, tiny_config
from stvlm.model.backbone.vanilla import Plain, PlainConfig, PlainCore
from stvlm.runtime.environment import hub_is_online
from stvlm.runtime.json_settings import check_folder, read_settings
from stvlm.runtime.settings import settings

CLIP_MEAN, CLIP_SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
FAMILIES: dict[str, type[Backbone]] = {
    "idefics3": Idefics3, "smolvlm": Idefics3, "qwen2_vl": Qwen2VL, "qwen2_5_vl": Qwen2VL, "clip": DualEncoder,
    "siglip": DualEncoder, "vilt": SingleStream, "plain": Plain,
}  # fmt: skip
COLOURS_OF_CLIP = ("clip", "qwen2_vl", "qwen2_5_vl")
RANDOM = "random:"
UNUSED = ("pooler.",)  # weights that a folder may lack, for nothing here uses them
_DOOR = RLock()  # held while the switch of huggingface_hub, which is the whole process's, is turned


def load(name: str, n_layers: int | None = None, seed: int = 0, dtype: str = "float32", kernel: str = "sdpa") -> Backbone:
    """A backbone with its weights.

    Args:
        name: "tiny", "smollm2", "plain", a local folder or a hub name; "random:" in front of it draws the weights.
        n_layers: keep only the first decoder layers; 0: none at all; None: all, of "smollm2" the first 6. seed: of random weights.
        dtype: "float32" or "bfloat16". kernel: of attention, "sdpa" or "eager".

    Raises:
        BackboneError: nothing there, no hub that may be asked, a damaged folder, or a family that is not supported.
    """
    if n_layers is not None and n_layers < 0:
        raise BackboneError(f"The number of decoder layers must be at least 0, not {n_layers}.")
    card = Card(dtype=dtype, kernel=kernel)
    bare = name.removeprefix(RANDOM)
    with _quietly(), _hub_as_allowed():
        if bare == "plain":
            return _plain(name, n_layers, seed, card)
        if bare == "tiny":
            with tempfile.TemporaryDirectory() as folder:
                build_tiny(Path(folder), seed)
                backbone = _read(folder, name, n_layers, None, card)
            own = replace(backbone.card, is_pretrained=False, note=card.note, licence=card.licence)
            backbone.card = replace(own, weights_id=_drawn_id(backbone.core.config, seed))
            return backbone
        source = bare
        if bare == "smollm2":
            source = str(smollm2.folder())
            n_layers = smollm2.DEFAULT_LAYERS if n_layers is None else n_layers
        return _read(source, name, n_layers, seed if name.startswith(RANDOM) else None, card)


def build_empty(folder: Path, name: str) -> Backbone:
    """The backbone of a saved model: config, card and tokenizer from `folder`, weights still to be filled in."""
    folder = Path(folder)
    stored = read_settings(folder / "config.json")
    card = Card.read(folder)
    with _hub_as_allowed():
        with tokenizer_errors():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if stored.get("model_type") == "plain":
            return Plain(PlainCore(PlainConfig(**stored)), tokenizer, name, card)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        family = _family(config, name)
        return family(AutoModel.from_config(config, **_how(config, card)), tokenizer, name, card)


def settings_of(folder: Path) -> dict[str, str]:
    """How the backbone of a saved model computes: "dtype" and "kernel", as `load` wants them."""
    card = Card.read(folder)
    return {"dtype": card.dtype, "kernel": card.kernel}


def _plain(name: str, n_layers: int | None, seed: int, card: Card) -> Backbone:
    tokenizer = AutoTokenizer.from_pretrained(TINY_TOKENIZER, local_files_only=True)
    config = PlainConfig(len(tokenizer))
    config.num_hidden_layers = config.num_hidden_layers if n_layers is None else min(n_layers, config.num_hidden_layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        core = PlainCore(config).to(DTYPES[card.dtype])
    return Plain(core, tokenizer, name, replace(card, weights_id=_drawn_id(config, seed)))


def _read(source: str, name: str, n_layers: int | None, seed: int | None, card: Card) -> Backbone:
    """From a folder or hub name; with a seed the weights are drawn instead of read."""
    try:
        if Path(source).is_dir():
            check_folder(Path(source))
        config = _fetch(AutoConfig.from_pretrained, source)
        family = _family(config, name)
        _cut(config, n_layers)
        with tokenizer_errors():
            tokenizer = _fetch(AutoTokenizer.from_pretrained, source)
        card = _describe(source, config, card)
        if seed is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                core = AutoModel.from_config(config, **_how(config, card))
            drawn = Card(weights_id=_drawn_id(config, seed))
            card = replace(card, is_pretrained=False, note=drawn.note, licence="none: random weights", new_parts=())
            return family(core, tokenizer, name, replace(card, weights_id=drawn.weights_id))
        core, found = _fetch(
            AutoModel.from_pretrained, source, config=config, use_safetensors=True, output_loading_info=True, **_how(config, card)
        )
    except BackboneError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise BackboneError(_what_is_wrong(source, name, error)) from error
    if lacking := sorted(key for key in found["missing_keys"] if not key.startswith(UNUSED)):
        raise BackboneError(f"The backbone {name!r} lacks {len(lacking)} weights that its config promises, such as {lacking[0]}.")
    backbone = family(core, tokenizer, name, card)
    backbone.card = replace(card, weights_id=_weights_id(backbone))
    return backbone


def _what_is_wrong(source: str, name: str, error: Exception) -> str:
    if Path(source).is_dir():
        said = " ".join(str(error).split())[:200]
        return (
            f"The backbone {name!r} cannot be loaded: {said} Its folder must hold config.json, a tokenizer and model.safetensors."
        )
    hub_says = (
        "no model hub can be reached or none knows it" if hub_is_online() else "model hubs are switched off (STVLM_HUB=online)"
    )
    return (
        f"The backbone {name!r} is not here: it is no folder with config.json and model.safetensors, and {hub_says}. "
        'Give a local folder, or use "tiny".'
    )


def _fetch(call: Callable, source: str, **options: Any) -> Any:
    """From the disk where it is there, else from the model hub."""
    try:
        return call(source, local_files_only=True, trust_remote_code=False, **options)
    except OSError:
        if Path(source).exists() or not _hub_answers():
            raise
    return call(source, trust_remote_code=False, **options)


@contextmanager
def _hub_as_allowed() -> Iterator[None]:
    """Keep huggingface_hub from every request unless the operator allows them.

    Without this it asks the hub for a list of coding agents as soon as it looks for a file, be that file here.
    """
    with _DOOR:
        before = hub.HF_HUB_OFFLINE
        hub.HF_HUB_OFFLINE = before or not hub_is_online()
        try:
            yield
        finally:
            hub.HF_HUB_OFFLINE = before


def _hub_answers() -> bool:
    """Whether a model hub can be asked at all; without this look every question would be repeated for half a minute."""
    if hub.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies().get("https"):
        return True
    address = urlsplit(hub.ENDPOINT)
    try:
        socket.create_connection((address.hostname, address.port or 443), timeout=5).close()
    except OSError:
        return False
    return True


def _family(config: Any, name: str) -> type[Backbone]:
    if config.model_type not in FAMILIES:
        known = ", ".join(family for family in FAMILIES if family != "plain")
        raise BackboneError(f"The backbone {name!r} is of the family {config.model_type!r}; supported are {known}.")
    return FAMILIES[config.model_type]


def _cut(config: Any, n_layers: int | None) -> None:
    """Keep the first decoder layers only."""
    text = getattr(config, "text_config", config)
    if n_layers is not None:
        text.num_hidden_layers = min(n_layers, text.num_hidden_layers)
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[: text.num_hidden_layers]


def _how(config: Any, card: Card) -> dict[str, Any]:
    kernel = "eager" if config.model_type == "vilt" else card.kernel  # for layers that run in transformers: the vision towers
    return {"attn_implementation": kernel, "dtype": DTYPES[card.dtype]}


def _describe(source: str, config: Any, card: Card) -> Card:
    """The card of a folder or hub model: its own where it has one, else from what lies beside its weights."""
    settings = {"dtype": card.dtype, "kernel": card.kernel}
    if (Path(source) / CARD).exists():
        return replace(Card.read(source), **settings)
    colours = (CLIP_MEAN, CLIP_SPREAD) if config.model_type in COLOURS_OF_CLIP else (HALF, HALF)
    stated = json.loads(_text_of(source, "preprocessor_config.json") or "{}")
    stated = stated or json.loads(_text_of(source, "processor_config.json") or "{}").get("image_processor", {})
    mean, spread = (tuple(stated.get(key) or usual) for key, usual in zip(("image_mean", "image_std"), colours, strict=True))
    licence = re.search(r"^license:[ \t]*(\S+)", _text_of(source, "README.md") or "", re.MULTILINE)
    said = licence[1].strip("'\"") if licence else "not stated: ask where it comes from"
    return Card(mean, spread, True, "weights as they came", said, **settings)


def _text_of(source: str, file: str) -> str | None:
    """A small file beside the weights, or None."""
    calm = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors", "gated_repo")}
    path = cached_file(source, file, local_files_only=True, **calm)
    if path is None and not Path(source).is_dir() and _hub_answers():
        path = cached_file(source, file, **calm)
    return None if path is None else Path(path).read_text(encoding="utf-8", errors="replace")


def _drawn_id(config: Any, seed: int) -> str:
    """sha256 of what random weights are drawn from."""
    stated = asdict(config) if isinstance(config, PlainConfig) else config.to_dict()
    stated = {key: value for key, value in stated.items() if key not in ("_name_or_path", "transformers_version", "architectures")}
    return hashlib.sha256(json.dumps([stated, seed], sort_keys=True, default=str).encode()).hexdigest()


def _weights_id(backbone: nn.Module) -> str:
    """sha256 of names and values of all weights."""
    digest = hashlib.sha256()
    for key, weight in sorted(backbone.state_dict().items()):
        digest.update(f"{key} {tuple(weight.shape)} {weight.dtype}".encode())
        digest.update(weight.detach().reshape(-1).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without progress bars and reports on the terminal."""
    before, own = transformers_logging.get_verbosity(), logging.getLogger("huggingface_hub")
    level = own.level
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    own.setLevel(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
        own.setLevel(level)


# Which backbones there are on this machine, and what to do for those that are not.

NO_CURE = ""


@dataclass(frozen=True)
class BackboneInfo:
    """One backbone that can be chosen.

    Attributes:
        name: to be given to `load`. family: architecture. title: in plain words. parameters: how many.
        memory_mb: of the weights in float32, in MB (a training needs several times as much). licence: of the weights.
        is_here: whether it can be loaded now, without a network. cure: what to do where it cannot.
    """

    name: str
    family: str
    title: str
    parameters: int
    licence: str
    is_here: bool
    cure: str = NO_CURE

    @property
    def memory_mb(self) -> int:
        """Of the weights in float32, in MB."""
        return round(self.parameters * 4 / 1e6)


HUB = (  # name, family, title, parameters without the language head, licence
    ("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3", "SmolVLM: the smallest pretrained VLM", 228_099_648, "Apache-2.0"),
    ("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl", "Qwen2-VL: a larger pretrained VLM", 2_208_985_600, "Apache-2.0"),
)


def available() -> list[BackboneInfo]:
    """The backbones of this program, the folders under STVLM_BACKBONES, and two that a model hub has."""
    with _hub_as_allowed():
        small = tiny_config(AutoTokenizer.from_pretrained(TINY_TOKENIZER, local_files_only=True))
        of_hub = [_of_hub(*row) for row in HUB]
    built = smollm2.is_here()
    graft = smollm2.graft_config(smollm2.DEFAULT_LAYERS)
    title = f"SmolLM2, the first {smollm2.DEFAULT_LAYERS} of 30 layers: {smollm2.NOTE}"
    return [
        BackboneInfo("tiny", "idefics3", "Tiny VLM with random weights, trained as a whole", _count(small), "Apache-2.0", True),
        BackboneInfo("smollm2", "idefics3", title, _count(graft), "Apache-2.0", built, NO_CURE if built else smollm2.CURE),
        *_own_folders(),
        *of_hub,
    ]


def _count(config) -> int:
    """Parameters of an Idefics3, counted without making them."""
    with torch.device("meta"):
        return sum(p.numel() for p in Idefics3Model(config).parameters())


def _own_folders() -> list[BackboneInfo]:
    root = settings().backbones  # made absolute: a run is trained in another working folder
    return [_of_folder(path.parent) for path in sorted(root.absolute().glob("*/config.json"))] if root and root.is_dir() else []


def _of_folder(folder: Path) -> BackboneInfo:
    try:
        check_folder(folder)
        family = str(read_settings(folder / "config.json").get("model_type"))
        files = sorted(folder.glob("*.safetensors"))
        parameters = sum(_count_stored(file) for file in files)
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        return BackboneInfo(str(folder), "unknown", folder.name, 0, "not stated", False, f"The folder cannot be read: {error}")
    cure = NO_CURE
    if family not in FAMILIES:
        cure = f"The family is not supported; supported are {', '.join(f for f in FAMILIES if f != 'plain')}."
    elif not files:
        cure = "The folder lacks model.safetensors."
    return BackboneInfo(str(folder), family, folder.name, parameters, "not stated", not cure, cure)


def _count_stored(file: Path) -> int:
    with safe_open(file, "pt") as stored:
        return sum(math.prod(stored.get_slice(key).get_shape()) for key in stored.keys())  # noqa: SIM118  not a mapping


def _of_hub(name: str, family: str, title: str, parameters: int, licence: str) -> BackboneInfo:
    calm = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    files = ("model.safetensors", "model.safetensors.index.json")
    here = any(cached_file(name, file, local_files_only=True, **calm) for file in files)
    cure = NO_CURE if here else "Used once with STVLM_HUB=online and a network, it stays in the cache of this machine."
    return BackboneInfo(name, family, title, parameters, licence, here, cure)
