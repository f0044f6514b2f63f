"""The one door to transformers: a vision-language backbone of any family behind a few calls.

Names: "tiny" (a small random Idefics3 with our own tokenizer), "smollm2" (real SmolLM2 text weights behind a random vision tower),
"plain" (a small transformer without any of this, for comparison), a local folder, or a hub name; "random:" in front of a name
keeps the architecture and draws the weights. Weights come as safetensors only, and no code is taken from a folder or hub.
"""

from stvlm.model.backbone.base import Backbone, BackboneError
from stvlm.model.backbone.loading import BackboneInfo, available, build_empty, load, settings_of
from stvlm.model.backbone.tiny import TINY_TOKENIZER, build_tiny, train_tokenizer

__all__ = [
    "TINY_TOKENIZER",
    "Backbone",
    "BackboneError",
    "BackboneInfo",
    "available",
    "build_empty",
    "build_tiny",
    "load",
    "settings_of",
    "train_tokenizer",
]
