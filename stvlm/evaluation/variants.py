"""What may be taken from the model, spoilt in it or exchanged, one thing at a time, and how that is said in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

FULL = "full"
RANDOM_BY_NATURE = ("tiny", "plain")  # backbones that have no weights to start from


@dataclass(frozen=True)
class Ablation:
    """One change of the model.

    Attributes:
        name: as on the command line. phrase: how a sentence on its effect begins. changes: of FitConfig's fields.
    """

    name: str
    phrase: str
    changes: dict[str, Any]


def _all() -> Iterable[Ablation]:
    yield Ablation("no image", "Without the image", {"without": "vision"})
    yield Ablation("noise image", "With noise for an image", {"disturb": "noise image"})
    yield Ablation("shuffled pixels", "With the pixels of the image shuffled", {"disturb": "shuffled pixels"})
    yield Ablation("shuffled sensors", "With the sensors shuffled on the image", {"disturb": "shuffled sensors"})
    yield Ablation("no prompt", "Without the prompt", {"without": "text"})
    yield Ablation("constant prompt", "With one prompt for all windows", {"disturb": "constant prompt"})
    yield Ablation("foreign prompt", "With the prompt of another window", {"disturb": "foreign prompt"})
    yield Ablation("no series", "Without the series in the tokens", {"without": "series"})
    yield Ablation("fusion middle", "With the fusion in the middle layer", {"fusion": "middle"})
    yield Ablation("fusion last", "With the fusion in the last layer", {"fusion": "last"})
    yield Ablation("tuning frozen", "With the backbone left as it is", {"tuning": "frozen"})
    yield Ablation("tuning norm", "With only the norms of the backbone tuned", {"tuning": "norm"})
    yield Ablation("tuning lora", "With low-rank adapters", {"tuning": "lora"})
    yield Ablation("tuning adalora", "With low-rank adapters that share out their ranks", {"tuning": "adalora"})
    yield Ablation("tuning adaptive", "With adaptive fine-tuning", {"tuning": "adaptive"})
    yield Ablation("tuning full", "With all of the backbone tuned", {"tuning": "full"})
    yield Ablation("random backbone", "With a random backbone", {"backbone": "random"})
    yield Ablation("plain transformer", "With a plain small transformer for a backbone", {"backbone": "plain", "tuning": "full"})
    yield Ablation("no backbone", "Without the backbone's layers", {"n_layers": 0, "modalities": ("series",)})


ABLATIONS: dict[str, Ablation] = {ablation.name: ablation for ablation in _all()}


def ablation_names(given: Iterable[str]) -> tuple[str, ...]:
    """Names of ABLATIONS from what was typed: "all", or names with spaces, - or _ between their words.

    Raises:
        ValueError: unknown names.
    """
    names = [re.sub("[-_ ]+", " ", name.strip().lower()) for name in given]
    if "all" in names:
        return tuple(ABLATIONS)
    unknown = [name for name in names if name not in ABLATIONS]
    if unknown or not names:
        known = ", ".join(name.replace(" ", "-") for name in ABLATIONS)
        raise ValueError(f"Unknown ablations: {', '.join(unknown) or 'none given'}. There are {known}; or all.")
    return tuple(dict.fromkeys(names))


def changed(config: Any, name: str) -> Any:
    """The settings of a variant.

    A backbone that is random by nature, as "tiny", cannot be made random: its "random backbone" stays as it was drawn.

    Args:
        config: FitConfig of the full model. name: of ABLATIONS, or FULL.

    Raises:
        ValueError: the model cannot be changed so.
    """
    if name == FULL:
        return config
    changes = dict(ABLATIONS[name].changes)
    gone = changes.pop("without", None)
    if gone:
        changes["modalities"] = tuple(m for m in config.modalities if m != gone)
        if not changes["modalities"]:
            raise ValueError(f"{name}: {gone} is all that the model has.")
    if changes.get("backbone") == "random":
        changes = {"tuning": "frozen"} if config.backbone in RANDOM_BY_NATURE else {"backbone": f"random:{config.backbone}"}
    return replace(config, **changes)


def starting_point(config: Any) -> Any:
    """The full model's settings with all that else would depend on the backbone, so that variants differ in one thing only.

    The network is taken whatever it is worth: one that is refused would hide every difference.
    """
    from stvlm.training import default_rate

    from_nothing = config.backbone in RANDOM_BY_NATURE or config.backbone.startswith("random:")
    tuning = ("full" if from_nothing else "lora") if config.tuning == "auto" else config.tuning
    return replace(config, tuning=tuning, learning_rate=config.learning_rate or default_rate(config.backbone), min_gain=-1.0)
