"""The recipe: a frozen tree read from TOML; every unknown key is an error."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from model.data.policy import LabelPolicy, parse_policy
from model.network import Head, head_of
from model.train.losses import check
from model.transforms import EvalPreset, TrainPreset

if TYPE_CHECKING:
    from pathlib import Path


_PAIR = 2
MADE = ("rotation", "inversion", "mirror")


class RecipeError(Exception):
    """The recipe cannot be used; the message ends with the remedy."""


@dataclass(frozen=True)
class HeadRecipe:
    """One head. made: "" for a label of the manifest, or rotation | inversion | mirror
    for a target made by transforming the image. loss: "" for cross-entropy (softmax) or
    binary cross-entropy (sigmoid), or a name of `model.train.losses.LOSSES`.
    parents: class -> the class that it is a kind of, for the hierarchical loss.
    """

    name: str
    classes: tuple[str, ...]
    activation: str = "softmax"
    made: str = ""
    weight: float = 1.0
    loss: str = ""
    parents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("made", self.made, ("", *MADE))
        check(self.loss, self.activation)
        for name in (*self.parents, *self.parents.values()):
            _one_of("parents", name, self.classes)
        if bool(self.parents) != (self.loss == "hierarchical"):
            raise ValueError("the hierarchical loss and parents need each other")
        self.head()

    def head(self) -> Head:
        """As the network wants it."""
        return head_of(asdict(self))


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network; see `model.network.ARCHITECTURES` and `STRIDES`.

    dropout: share of the pooled features that a training step leaves out. weights: path
    of a local safetensors file of torchvision's weights to start from; "" for none.
    """

    architecture: str = "slim"
    feature_stride: int = 16
    dropout: float = 0.0
    weights: str = ""


@dataclass(frozen=True)
class DataRecipe:
    """sources: `images` (labels.csv layout), `phantom`, or a manifest (`*.csv`) that
    `python -m model prepare` wrote, relative to the data folder. only: values of a
    row's source that are kept; none named keeps all. most: rows read of each source,
    evenly spread; 0 for all. side: cache, in pixels. uncertain, blank: label, or
    `default`, -> what such a label becomes, see `model.data.policy`. turned, inverted,
    mirrored: shares of the training images that are changed in this way. shuffled: the
    answers are those of other images, so that a map can be compared with one of a
    network that learned nothing; such a run is never packed.
    """

    sources: tuple[str, ...] = ("images", "phantom")
    only: tuple[str, ...] = ()
    most: int = 0
    n_phantoms: int = 300
    n_phantoms_val: int = 60
    side: int = 160
    uncertain: dict[str, str] = field(default_factory=dict)
    blank: dict[str, str] = field(default_factory=dict)
    turned: float = 0.55
    inverted: float = 0.3
    mirrored: float = 0.0
    shuffled: bool = False

    def policy(self) -> LabelPolicy:
        """What uncertain and blank labels become."""
        return parse_policy(self.uncertain, self.blank)


@dataclass(frozen=True)
class Optimiser:
    """How the weights move.

    name: adamw | adam | sgd (momentum and nesterov are of sgd). schedule: cosine to
    zero | constant, both after warmup_steps of linear warm-up; a cosine may end at
    restart_step (0: never) and start again from restart_rate. ema: decay of the running
    average of the weights, which is what is kept. mixup: Beta parameter, 0 for none.
    small_steps, small_size: the first steps use smaller images (in pixels), which is
    faster and loses nothing when enough steps of full size follow. chunks: parts of a
    batch that are drawn on their own, so that as many processes need not each draw all
    of it. precision: float32 | bfloat16 (autocast of the forward pass).
    """

    name: str = "adamw"
    steps: int = 2400
    batch: int = 48
    learning_rate: float = 2e-3
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.02
    schedule: str = "cosine"
    warmup_steps: int = 120
    restart_step: int = 0
    restart_rate: float = 0.0
    small_steps: int = 0
    small_size: int = 96
    ema: float = 0.997
    label_smoothing: float = 0.03
    mixup: float = 0.0
    clip_norm: float = 1.0
    chunks: int = 1
    precision: str = "float32"
    compile: bool = False
    checkpoint_steps: int = 200
    log_steps: int = 20

    def __post_init__(self) -> None:
        _one_of("name", self.name, ("adamw", "adam", "sgd"))
        _one_of("schedule", self.schedule, ("cosine", "constant"))
        _one_of("precision", self.precision, ("float32", "bfloat16"))
        if self.batch % self.chunks:
            raise ValueError("batch must be a multiple of chunks: correct the recipe")


@dataclass(frozen=True)
class Validation:
    """Validation while training, and early stopping.

    every_steps: steps between two validations, 0 for none. The mean AUROC of all
    classes is averaged over the last `smooth` validations; training stops when that has
    not risen by min_delta for `patience` validations (0: never), and the weights of the
    best validation are kept.
    """

    every_steps: int = 0
    patience: int = 0
    min_delta: float = 0.001
    smooth: int = 3


@dataclass(frozen=True)
class Distil:
    """Learning from networks that are finished (arXiv 1503.02531).

    teachers: run folders, of the same heads but any [network]; the mean of their
    logits says what each drawn image shows. share: how much of a target is theirs, the
    rest is the label; where the label is unknown nothing is learned.
    """

    teachers: tuple[str, ...] = ()
    share: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError("share must be from 0 to 1: correct the recipe")


@dataclass(frozen=True)
class SeriesRecipe:
    """Of a network for whole series, see docs/models.md; n_slices 0: single images.

    windows: (centre, width) in modality values, one channel each; percentiles: (low,
    high) of each slice instead; neither shows slices by their own. stack_depth:
    neighbouring slices as channels. n_slices: kept of each series, evenly over its
    central_fraction. slices_per_step: of those, so many are seen of each series in a
    step. aggregation, k: max | top-k-mean | noisy-or.
    """

    n_slices: int = 0
    slices_per_step: int = 8
    windows: tuple[tuple[float, float], ...] = ()
    percentiles: tuple[tuple[float, float], ...] = ()
    stack_depth: int = 1
    central_fraction: float = 1.0
    aggregation: Literal["max", "top-k-mean", "noisy-or"] = "max"
    k: int = 1

    def __post_init__(self) -> None:
        _one_of("aggregation", self.aggregation, ("max", "top-k-mean", "noisy-or"))
        if self.n_slices and not 0 < self.slices_per_step <= self.n_slices:
            raise ValueError("slices_per_step must be 1 to n_slices: correct it")
        if self.stack_depth < 1 or self.stack_depth % 2 == 0:
            raise ValueError("stack_depth must be odd: correct the recipe")
        if not 0 < self.central_fraction <= 1 or self.k < 1:
            raise ValueError("central_fraction and k must be above 0: correct them")
        if any(len(one) != _PAIR or not one[1] > 0 for one in self.windows):
            raise ValueError("windows are pairs of centre and width > 0: correct them")
        if self.windows and self.percentiles:
            raise ValueError("windows and percentiles exclude each other: drop one")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, but the images themselves.

    balance: stratum -> share of each batch; a stratum is a source (`phantom`) or a
    source and a label (`nih_cxr14/view-AP`); none named: every image equally often.
    threads: of the CPU.
    """

    name: str
    heads: tuple[HeadRecipe, ...]
    balance: dict[str, float] = field(default_factory=dict)
    seed: int = 1
    threads: int = 2
    data: DataRecipe = field(default_factory=DataRecipe)
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    train_preset: TrainPreset = field(default_factory=TrainPreset)
    eval_preset: EvalPreset = field(default_factory=EvalPreset)
    optimiser: Optimiser = field(default_factory=Optimiser)
    validation: Validation = field(default_factory=Validation)
    distil: Distil = field(default_factory=Distil)
    series: SeriesRecipe = field(default_factory=SeriesRecipe)

    def to_dict(self) -> dict[str, Any]:
        """Resolved: every default written out."""
        return asdict(self)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; raises RecipeError with the key and what was probably meant."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read {path}: give an existing recipe") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path.name} is not TOML ({error}): correct it") from error
    return parse_recipe(table)


def parse_recipe(table: dict[str, Any]) -> Recipe:
    """A recipe from a parsed table, also from a stored `recipe.json`."""
    recipe: Recipe = _build(Recipe, table, "")
    _check_series(recipe)
    if recipe.train_preset.normalise != recipe.eval_preset.normalise:
        raise RecipeError(
            "train_preset.normalise and eval_preset.normalise differ: make them equal"
        )
    return recipe


def _check_series(recipe: Recipe) -> None:
    """What a recipe for series cannot have: its labels are of whole series."""
    if not recipe.series.n_slices:
        return
    wrong = {
        "heads: use activation sigmoid and no made": any(
            head.made or head.activation != "sigmoid" for head in recipe.heads
        ),
        "optimiser.mixup and small_steps: leave them out": bool(
            recipe.optimiser.mixup or recipe.optimiser.small_steps
        ),
        "distil: leave it out": bool(recipe.distil.teachers),
        "data.shuffled: leave it out": recipe.data.shuffled,
        "eval_preset.normalise: use fixed or standardise": (
            recipe.eval_preset.normalise not in ("fixed", "standardise")
        ),
    }
    for remedy, is_wrong in wrong.items():
        if is_wrong:
            raise RecipeError(f"a recipe with [series] cannot have this: {remedy}")


def _build(kind: Any, table: dict[str, Any], where: str) -> Any:
    known = {f.name for f in fields(kind)}
    for key in table:
        if key not in known:
            raise RecipeError(_unknown(where + key, key, known))
    hints = get_type_hints(kind)
    values = {
        key: _value(hints[key], value, f"{where}{key}.") for key, value in table.items()
    }
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"[{where.rstrip('.') or 'recipe'}] {error}") from error


def _unknown(full: str, key: str, known: set[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"use one of {sorted(known)}"
    return f"unknown key {full}: {hint}"


def _value(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return _build(hint, value, where)
    if hint == tuple[HeadRecipe, ...]:
        return tuple(_build(HeadRecipe, item, where) for item in value)
    if isinstance(value, list | tuple):
        return tuple(value)
    if hint is float and type(value) is int:
        return float(value)
    if hint in (bool, int, float, str) and type(value) is not hint:
        raise RecipeError(f"{where.rstrip('.')} must be {hint.__name__}: correct it")
    return value


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{key} {value!r} is unknown: use one of {known}")
