"""The state of one training: optimiser, averaged and best weights, sampler; its loss, its schedule and its validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from stvlm.anchor.fit import training_folds
from stvlm.core.forecast import MODALITIES
from stvlm.core.windows import Split, thin
from stvlm.modalities.batch import InputBuilder, ModelInputs, check_perturbation
from stvlm.modalities.image.views import ImageConfig
from stvlm.modalities.text.facts import has_event
from stvlm.model.adapters import RankBudget, orthogonality, parts, ranks
from stvlm.model.grad_accumulation import backward, make_quick, retry_smaller_on_oom
from stvlm.model.head import MEDIAN
from stvlm.model.losses import calibrated_spread, score_windows, shrunk, usual_spread, window_odds
from stvlm.model.stvlm import FUSION_PLACES, STVLM, set_spread
from stvlm.training import checkpoint as checkpoints

# Schedule: number of steps, learning rate, gain needed for acceptance.

ENOUGH = 50  # training windows that share no reading


def needed_gain(min_gain: float, apart: float) -> float:
    """Share by which the network must lower the validation error: more where it learnt from few windows that share no reading.

    A short validation part beside a short training part is of the same weather, and flatters what was learnt by heart.

    Args:
        min_gain: with ENOUGH such windows or more. apart: how many there are.
    """
    return min_gain * max(1.0, ENOUGH / max(apart, 1.0))


def default_rate(backbone_name: str) -> float:
    """The learning rate: higher for a small random backbone than for one with something to keep."""
    small = backbone_name in ("tiny", "plain") or backbone_name.startswith("random:")
    return 2e-3 if small else 3e-4


def planned_steps(n_windows: int, batch_size: int) -> int:
    """Steps by the amount of data: about ten passes, between 60 and 900."""
    return int(np.clip(10 * n_windows / batch_size, 60, 900))


def schedule(step: int, total: int) -> float:
    """Share of the learning rate: a warm-up over the first tenth, then a cosine to 0."""
    warm = max(total // 10, 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(total - warm, 1))))


SHRINKAGES = (0.25, 0.5, 0.75, 1.0)
MAX_FLOATS = 120_000_000  # of the training windows kept ready
MAX_VAL_WINDOWS = 160
PLACE_PARAMETERS = {f"fusion.{name}" for name in ("direction", "log_width", "strength", "lift")}  # 0 is nothing special
CHECKPOINT_EVERY, CHECKPOINT_SECONDS = 25, 60.0  # steps, and time where steps are slow
STARTED_RATE = 5e-4  # where the weights have learnt something before
ORTHOGONAL = 0.1  # weight of ranks.orthogonality beside the loss


@dataclass(frozen=True)
class FitConfig:
    """How a model is trained.

    Attributes:
        lookback, horizon: L, H in steps. split: shares of training, validation, test in time order.
        few_shot: a share (0.1), days ("5days") or windows ("5windows"): a contiguous block at the end of the training part.
        backbone: "tiny", a folder or a hub name. n_layers: decoder layers kept, None for all.
        tuning: "auto", or a strategy of model/adapters.py. rank: of low-rank adapters. gradient_checkpointing: less memory, more time.
        dtype: of the backbone's weights, "float32" or "bfloat16". kernel: of attention, "sdpa" or "eager".
        modalities: some of vision, text, series. views, image_size: images, in pixels a side. prompt_tokens: budget.
        template: the user's own prompt template; None for the default. fusion: "first", "middle" or "last" decoder layer.
        others: whether a sensor learns of the others by "series" tokens or by the "image" alone, at a cost linear in sensors.
        glimpse: whether each token also holds what the images show where its sensor stands.
        seasons_minutes: None: found in the training part. context_steps: as in fit_anchor.
        device: "auto", "cpu", "cuda", "mps". seed: of everything random.
        max_minutes: of wall time. max_steps: of training; None: by the amount of data. batch_size: windows a step.
        micro_batch: windows in memory at once; None: all of the step, and fewer where memory runs out.
        learning_rate: None: by the backbone. min_gain: share by which the network must beat the anchor on validation, and more where
            there is little to learn from (`needed_gain`); below 0 the network is taken whatever it is worth. disturb: how its inputs are
            spoilt on purpose (modalities/disturb.py), or "".
        shared: folder of weights that networks share, to begin with; "" begins anew; None: those that ship where it is a few-shot training
            with usual settings, else anew.
    """

    lookback: int = 12
    horizon: int = 12
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    few_shot: str | float | None = None
    backbone: str = "tiny"
    n_layers: int | None = None
    tuning: str = "auto"
    rank: int = 8
    gradient_checkpointing: bool = False
    dtype: str = "float32"
    kernel: str = "sdpa"
    modalities: tuple[str, ...] = MODALITIES
    views: tuple[str, ...] = ("field",)
    image_size: int | None = None
    prompt_tokens: int = 160
    template: str | None = None
    fusion: str = "first"
    others: str = "series"
    glimpse: bool = False
    seasons_minutes: tuple[int, ...] | None = None
    context_steps: int | None = None
    device: str = "auto"
    seed: int = 0
    max_minutes: float | None = None
    max_steps: int | None = None
    batch_size: int = 16
    micro_batch: int | None = None
    learning_rate: float | None = None
    min_gain: float = 0.01
    disturb: str = ""
    shared: str | None = None

    def __post_init__(self) -> None:
        unknown = set(self.modalities) - set(MODALITIES)
        if unknown or not self.modalities:
            raise ValueError(f"modalities must be some of {', '.join(MODALITIES)}; got {self.modalities}.")
        check_perturbation(self.disturb)
        ImageConfig(views=tuple(self.views))
        if self.fusion not in FUSION_PLACES:
            raise ValueError(f"fusion must be one of {', '.join(FUSION_PLACES)}; got {self.fusion!r}.")
        if self.others not in ("series", "image") or (self.others == "image" and "vision" not in self.modalities):
            raise ValueError(f'others must be "series", or "image" where vision is among the modalities; got {self.others!r}.')


class Training:
    """The state of one training: model, optimiser, averaged weights, best weights, sampler.

    `numbers` are those of the training windows, where they were made before with the same series, anchor, split and sizes.
    """

    def __init__(
        self,
        model: STVLM,
        builder: InputBuilder,
        config: FitConfig,
        split: Split,
        device: torch.device,
        numbers: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.model, self.builder, self.config, self.device = model, builder, config, device
        cutoffs = split.cutoffs("train", config.lookback, config.horizon)
        per_window = builder.series.network.n_sensors * (model.config.n_features + 5 * config.horizon + 2 * config.lookback)
        self.cutoffs = thin(cutoffs, max(MAX_FLOATS // per_window, 32))
        self.numbers = self._training_numbers(split) if numbers is None else numbers
        val = split.cutoffs("val", config.lookback, config.horizon)
        if len(val) == 0:
            val = self.cutoffs[-max(len(self.cutoffs) // 5, 1) :]
        self.val_cutoffs = thin(val, MAX_VAL_WINDOWS)
        self.needed_gain = needed_gain(config.min_gain, (split.train_end - split.train_start) / (config.lookback + config.horizon))
        self.scale = max(float(np.nanmean(np.abs(self.numbers["target"] - self.numbers["anchor"]))), 1e-9)
        set_spread(model, self._spread())
        self.total = config.max_steps if config.max_steps is not None else planned_steps(len(cutoffs), config.batch_size)
        rate = config.learning_rate or (STARTED_RATE if model.config.slots else default_rate(config.backbone))
        decay, plain = [], []
        for name, parameter in ((n, p) for n, p in model.named_parameters() if p.requires_grad):
            (decay if parameter.ndim > 1 and name not in PLACE_PARAMETERS else plain).append(parameter)
        groups = [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        make_quick(device)
        self.optimiser = torch.optim.AdamW(groups, lr=rate, fused=device.type == "cuda")
        self.rate = rate
        self.generator = np.random.default_rng(config.seed)
        self.odds = window_odds(has_event(builder.series, self.cutoffs))
        self.named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.averaged = {n: p.detach().clone() for n, p in self.named.items()}
        self.best = {n: p.detach().clone() for n, p in self.named.items()}
        self.budget = RankBudget(model, model.config.adapter.rank, self.total) if parts(model) else None
        if config.gradient_checkpointing:
            model.backbone.enable_gradient_checkpointing()
        self.best_shrinkage, self.best_mae, self.anchor_mae, self.val_mae, self.loss = 0.0, np.inf, None, None, None
        self.given = {n: p.detach().clone() for n, p in self.named.items()} if model.config.slots else {}  # learnt elsewhere
        self.step, self.seconds, self.message, self.given_mae, self.given_shrinkage = 0, 0.0, "", np.inf, 0.0
        self.micro = min(config.micro_batch or config.batch_size, config.batch_size)

    def _training_numbers(self, split: Split) -> dict[str, np.ndarray]:
        """All training windows, each with the profile that leaves it out."""
        parts = []
        for start, stop, anchor in training_folds(self.builder.anchor, self.builder.series, split):
            mine = self.cutoffs[(self.cutoffs >= start) & (self.cutoffs < stop)]
            parts += [self.builder.numbers(block, anchor) for block in np.array_split(mine, max(1, len(mine) // 256)) if len(block)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _spread(self) -> np.ndarray:
        """(Q, H): how far the truth usually lies from the anchor, to start with."""
        return usual_spread(self.builder.anchor.frame, self.numbers)

    def _draw(self) -> ModelInputs:
        """A random batch."""
        rows = self.generator.choice(len(self.cutoffs), self.config.batch_size, p=self.odds)
        return self.builder.batch(self.cutoffs[rows], {k: v[rows] for k, v in self.numbers.items()})

    def advance(self) -> None:
        """One optimiser step on a random batch; validates about twelve times over the training."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        inputs = self._draw()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * schedule(self.step, self.total)
        self.model.train()
        self.loss, size = retry_smaller_on_oom(lambda size: self._backward(inputs, size), self.micro, self.device)
        if size < self.micro:
            self.message = f"Memory ran out with {self.micro} windows at once: goes on with {size} at once, to the same result."
            self.micro = size
        torch.nn.utils.clip_grad_norm_(self.named.values(), 1.0)
        self.optimiser.step()
        if not np.isfinite(self.loss):
            raise ValueError(
                f"The training diverged at step {self.step}: the loss is no longer a number. Take a smaller learning rate."
            )
        self.step += 1
        keep = min(0.98, self.step / (self.step + 9))
        with torch.no_grad():
            for name, parameter in self.named.items():
                self.averaged[name].lerp_(parameter, 1 - keep)
        if self.budget and self.budget.allocate(self.step):
            for name, kept in self.budget.masks().items():
                self.averaged[name] *= kept
        if self.step % max(self.total // 12, 10) == 0:
            self.validate()

    def _backward(self, inputs: ModelInputs, size: int) -> float:
        """The loss of a batch, and its gradient; the same whenever it is done again."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        self.optimiser.zero_grad(set_to_none=True)
        penalty = (lambda: ORTHOGONAL * orthogonality(self.budget.parts)) if self.budget else None
        return backward(self.model, inputs, size, self.device, self.scale, penalty)

    def _in_blocks(self, work: Callable[[], list | dict | np.ndarray]) -> list | dict | np.ndarray:
        """Work through many windows, in smaller blocks where memory runs out."""

        def sized(size: int) -> list | dict | np.ndarray:
            self.builder.block_size = size
            return work()

        return retry_smaller_on_oom(sized, self.builder.block_size, self.device)[0]

    @property
    def hopeless(self) -> bool:
        """Whether over a third of the steps brought nothing: the anchor is all there is to learn."""
        return (
            self.config.min_gain >= 0
            and self.step > self.total * 0.35
            and self.best_mae > self.anchor_mae * (1 - 0.25 * self.needed_gain)
        )

    def validate(self) -> None:
        """Score the averaged weights with every shrinkage; keep the best."""
        if self.step == 0:
            self.anchor_mae = self.val_mae = self._in_blocks(lambda: self._val_errors(only_anchor=True))[0]
            self.best_mae = self.anchor_mae if self.config.min_gain >= 0 else np.inf
            if not self.model.config.slots:
                return  # an untrained network is the anchor
        live = {n: p.detach().clone() for n, p in self.named.items()}
        self._load(self.averaged)
        errors = self._in_blocks(self._val_errors)
        pick = int(np.argmin(errors))
        self.val_mae = errors[pick]
        if self.step == 0:
            self.given_mae, self.given_shrinkage = self.val_mae, SHRINKAGES[pick]
        if self.val_mae < self.best_mae:
            self.best_mae, self.best_shrinkage = self.val_mae, SHRINKAGES[pick]
            self.best = {n: w.clone() for n, w in self.averaged.items()}
        self._load(live)

    @torch.no_grad()
    def _val_errors(self, only_anchor: bool = False) -> list[float]:
        """Mean absolute error on the validation windows, one for each shrinkage, in the unit."""
        self.model.eval()
        shrinkages = (0.0,) if only_anchor else SHRINKAGES
        total, count = np.zeros(len(shrinkages)), 0
        for cutoffs in self.builder.blocks(self.val_cutoffs):
            inputs = self.builder.build(cutoffs).to(self.device)
            seen = torch.isfinite(inputs.target)
            count += int(seen.sum())
            if only_anchor:
                total += float((inputs.anchor - inputs.target)[seen].abs().sum(dtype=torch.float64))
                continue
            output = self.model(inputs)
            for i, shrinkage in enumerate(shrinkages):
                median = self.model.quantiles(shrunk(output, shrinkage), inputs, (MEDIAN,))[0]
                total[i] += float((median - inputs.target)[seen].abs().sum(dtype=torch.float64))
        return list(total / max(count, 1))

    def _load(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(weights[name])

    def is_better(self) -> bool:
        """Whether the best weights, at work now, lower the validation error by enough."""
        return self.best_mae < self.anchor_mae * (1 - self.needed_gain)

    @torch.no_grad()
    def finish(self) -> bool:
        """Take the best weights, or the anchor; set the spread of the bands by the validation part. True if the network is taken."""
        taken = self.config.min_gain < 0 or self.is_better()
        if not taken and self.given_mae < self.anchor_mae * (1 - self.config.min_gain):  # that was not learnt by heart here
            taken, self.best, self.best_mae, self.best_shrinkage = True, self.given, self.given_mae, self.given_shrinkage
        self._load(self.best if self.best_shrinkage else self.averaged)  # what is explained is a trained network in any case
        self.model.shrinkage.fill_(self.best_shrinkage if taken else 0.0)
        self.model.eval()
        set_spread(self.model, self._in_blocks(lambda: calibrated_spread(self.model, self.builder, self.val_cutoffs, self.device)))
        return taken

    def test_scores(self, split: Split) -> dict[str, float]:
        """What the finished model is worth on the test part, as `score_windows` says: up to MAX_VAL_WINDOWS windows, evenly spread."""
        cutoffs = split.cutoffs("test", self.config.lookback, self.config.horizon)
        if len(cutoffs) == 0:
            return {}
        return self._in_blocks(lambda: score_windows(self.model, self.builder, thin(cutoffs, MAX_VAL_WINDOWS), self.device))

    @property
    def ranks_now(self) -> dict[str, int] | None:
        """The ranks of each low-rank part, if they were shared out anew by this step."""
        last = self.budget.history[-1] if self.budget else {"step": None}
        return last["ranks"] if last["step"] == self.step else None

    def adaptation(self) -> dict:
        """How the backbone was tuned and why, the ranks that the finished model uses, and how they were shared out over the steps."""
        adapter = self.model.config.adapter
        found = {"strategy": adapter.strategy, "chosen": adapter.in_backbone, "reason": adapter.reason}
        return found | {"ranks": ranks(self.model), "rank_history": self.budget.history if self.budget else []}

    def state(self) -> checkpoints.State:
        """Everything that a training needs to go on as if it had never stopped."""
        tensors = {f"live.{n}": p.detach() for n, p in self.named.items()}
        tensors |= {f"averaged.{n}": p for n, p in self.averaged.items()} | {f"best.{n}": p for n, p in self.best.items()}
        for i, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{name}": torch.as_tensor(value) for name, value in slots.items()}
        if self.budget:
            tensors |= {f"budget.{name}": value for name, value in self.budget.state().items()}
        numbers = {
            "step": self.step, "seconds": self.seconds, "best_shrinkage": self.best_shrinkage, "best_mae": self.best_mae,
            "anchor_mae": self.anchor_mae, "val_mae": self.val_mae, "loss": self.loss,
            "config": asdict(self.config), "generator": self.generator.bit_generator.state,
            "data": self.builder.series.fingerprint, "ranks": self.budget.history if self.budget else [],
            "given_mae": self.given_mae, "given_shrinkage": self.given_shrinkage,
            "micro": self.micro, "block_size": self.builder.block_size, "message": self.message,
        }  # fmt: skip
        return checkpoints.State(tensors, numbers)

    def restore(self, state: checkpoints.State) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: the state belongs to other settings or other data.
        """
        numbers = state.numbers
        free = {"max_minutes": None, "micro_batch": None}  # a run may be resumed with more time, or in smaller parts
        if (
            numbers["config"] | free != checkpoints.plain(asdict(self.config)) | free
            or numbers["data"] != self.builder.series.fingerprint
        ):
            raise ValueError("The checkpoint belongs to other settings or other data. Start a new run.")
        for name in self.named:
            self.averaged[name] = state.tensors[f"averaged.{name}"].to(self.device)
            self.best[name] = state.tensors[f"best.{name}"].to(self.device)
        self._load({n: state.tensors[f"live.{n}"] for n in self.named})
        saved = self.optimiser.state_dict()
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in state.tensors.items():
            if key.startswith("optimiser."):
                _, i, name = key.split(".", 2)
                slots.setdefault(int(i), {})[name] = value
        self.optimiser.load_state_dict(saved | {"state": slots})
        if self.budget:
            self.budget.restore({k.removeprefix("budget."): v for k, v in state.tensors.items()}, numbers["ranks"])
        self.generator.bit_generator.state = numbers["generator"]
        self.micro, self.message = min(self.micro, numbers.get("micro", self.micro)), numbers.get("message", "")
        self.builder.block_size = numbers.get("block_size", self.builder.block_size)
        scores = "best_shrinkage", "best_mae", "anchor_mae", "val_mae", "loss", "given_mae", "given_shrinkage"
        for name in ("step", "seconds", *scores):
            setattr(self, name, numbers.get(name, getattr(self, name)))
