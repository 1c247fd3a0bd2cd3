"""The book's detectors for anyone's images: what a notebook defines, imported, fitted, applied, saved and opened.

ICS = detectors.load("ics").ICS
model = ICS(seed=0).fit(images)
scores = model.decision_function(new_images)
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Self, get_type_hints

import numpy as np
import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from novelty_utils import data, notebook_cells, saved_detectors, training
from novelty_utils.errors import InputError, shown

DEFINES = "define"  # the tag of the cells that make up the module of a notebook
HELD_OUT = 10  # every tenth normal image is held out, to set the threshold
EXAMPLES = 1000  # at most so many training images are kept, to show beside new ones,
EXAMPLE_BYTES = 2**23  # and at most so many bytes of them


# --- a notebook's definitions as a module --------------------------------------------------------------------------


def notebooks() -> Path:
    """The folder of the notebooks: in a clone that of the clone, otherwise the one that came with the package."""
    clone = Path(__file__).parents[1] / "notebooks"
    return clone if clone.is_dir() else Path(__file__).parent / "notebooks"


def names() -> list[str]:
    """The notebooks that define detectors: what `load` takes."""
    return [path.stem for path in sorted(notebooks().glob("*.ipynb")) if defining(path)]


@lru_cache
def load(name: str) -> ModuleType:
    """The definitions of notebooks/NAME.ipynb, imported: its cells tagged `define` in order, and no other.

    Raises InputError for an unknown name; the line lists those there are.
    """
    if name not in names():
        raise InputError(f"no detector is defined in a notebook {shown(name)}: choose from {', '.join(names())}")
    notebook = notebooks() / f"{name}.ipynb"
    module = ModuleType(f"novelty_utils.detectors.{name}", f"The definitions of {notebook.name}.")
    sys.modules[module.__name__] = module  # where dataclasses look for a class's module
    for _, parts in notebook_cells.compiled(defining(notebook)):
        notebook_cells.execute(parts, module.__dict__)
    module.__dict__["SOURCE"] = _digest(cell.source for cell in defining(notebook))
    return module


def kinds(name: str) -> dict[str, type[Detector]]:
    """The detectors that a notebook defines, by the names of their classes. Raises InputError as `load` does."""
    module = load(name)
    return {
        word: kind
        for word, kind in vars(module).items()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and issubclass(kind, Detector)
        if not inspect.isabstract(kind)
    }


def defining(notebook: Path) -> list[notebook_cells.Cell]:
    """The cells that make up the module of a notebook."""
    return [cell for cell in notebook_cells.code_cells(notebook) if DEFINES in cell.tags]


def _digest(sources: Any) -> str:
    """Of what the sources say: comments and layout do not count."""
    return hashlib.sha256("\n".join(ast.dump(ast.parse(source)) for source in sources).encode()).hexdigest()[:16]


# --- what every detector is ----------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False)
class Detector(ABC):
    """A method of a paper, learnt from normal images alone. Its fields are its parameters; a paper adds its own.

    The type of a field says what is allowed, such as `Literal["mean", "sum"]` or `Annotated[float, Field(gt=0)]`: any
    other value is refused with an InputError.

    After `fit`: `network` (its trained networks), `fitted` (whatever else its scores need: tensors by name),
    `held_out_scores_` (of normal images that nothing was learnt from, ascending), `threshold_`, `examples_` (some
    training images as the networks see them, uint8) and `about` (plain values by name: how many images it has seen,
    and what a caller adds). A saved file holds all of them.
    """

    notebook: ClassVar[str]  # that defines it
    side: ClassVar[int | None] = None  # images are brought to this side; None leaves them as they are
    steps: ClassVar[int] = 1000  # of the optimiser, where `fit` is not told how many epochs
    batch: ClassVar[int] = 64

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self), include_extras=True)
        for name, value in self.arguments().items():
            try:
                setattr(self, name, TypeAdapter(kinds[name], config=ConfigDict(strict=True)).validate_python(value))
            except ValidationError as error:
                message = error.errors(include_url=False)[0]["msg"]
                raise InputError(f"{name}={value!r}: {message[0].lower()}{message[1:]}") from None

    def arguments(self) -> dict[str, Any]:
        """What it was made with, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.init}

    @classmethod
    def of(cls, run: object, **more: Any) -> Self:
        """With the parameters of a run of the same names; those that a run does not have are given beside it."""
        names = [field.name for field in dataclasses.fields(cls) if field.init and field.name not in more]
        return cls(**{name: getattr(run, name) for name in names}, **more)

    @classmethod
    def ignores(cls, option: str) -> bool:
        """Whether its `learn` takes no notice of an argument, such as epochs: it goes into `**_`."""
        taken = inspect.signature(cls.learn).parameters
        return option not in taken and "_" in taken

    # What a paper writes.

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """The networks for images of this shape (c, h, w), untrained; none for a method without any."""
        return nn.Module()

    @abstractmethod
    def learn(
        self, images: Tensor, train: Tensor, held_out: Tensor, *, epochs: int, device: str, checkpoint: Path | None
    ) -> None:
        """Train `self.network`, and put what else the scores need into `self.fitted`.

        images: uint8 (n, c, h, w); train and held_out: int64 (m,), indices of normal images.
        """

    @abstractmethod
    def score(self, images: Tensor, index: Tensor) -> np.ndarray:
        """Scores of the indexed images, float64 (len(index),), higher = more anomalous."""

    def redraw(self, images: Tensor, index: Tensor) -> Tensor | None:
        """What it makes of the indexed images, float32 (len(index), c, h, w); None for a method that redraws none."""
        return None

    def prepare(self) -> None:  # noqa: B027  most have nothing to prepare
        """Work out what follows from `network` and `fitted`: called after learning and after opening."""

    # What anyone calls.

    def begin(self, shape: tuple[int, ...]) -> None:
        """Untrained networks for images of this shape (c, h, w), before they are brought to `side`; forget the rest.

        Raises InputError for images too large to be kept.
        """
        saved_detectors.refuse_too_large(shape)
        self.__dict__.pop("threshold_", None)
        self.shape = tuple(shape)
        self.fitted: dict[str, Tensor] = {}
        self.about: dict[str, Any] = {}
        sized = self.shape if self.side is None else (self.shape[0], self.side, self.side)
        self.network = training.build(lambda: self.build(sized), self.seed)

    def fit(
        self,
        images: Tensor,
        *,
        epochs: int | None = None,
        device: str = "auto",
        false_alarms: float = 0.1,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from normal images, uint8 (n, c, h, w); every tenth is held out for the threshold.

        epochs: of each training; by default so many that they come to `steps` steps. false_alarms: the share of normal
        images that may lie above the threshold. With `checkpoint`, a folder, an interrupted call resumes when it is
        repeated. Raises InputError for images of another kind and for too few of them.
        """
        _check_images(images)
        if len(images) < 2 * HELD_OUT:
            raise InputError(f"fit needs at least {2 * HELD_OUT} images, and there are {len(images)}")
        if not 0 < false_alarms < 1:
            raise InputError(f"false_alarms={false_alarms}: give a share between 0 and 1, such as 0.1")
        if epochs is not None and epochs < 1:
            raise InputError(f"epochs={epochs}: at least 1 is needed")
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.seed))
        held_out, train = order[: len(images) // HELD_OUT], order[len(images) // HELD_OUT :]
        self.begin(images.shape[1:])
        images = self.sized(images)
        epochs = epochs or training.epochs_for(self.steps, len(train), self.batch)
        folder = None if checkpoint is None else Path(checkpoint) / self._key()
        self.learn(images, train, held_out, epochs=epochs, device=device, checkpoint=folder)
        self.network.eval()
        self.prepare()
        self.held_out_scores_ = np.sort(self.score(images, held_out))
        self.threshold_ = float(np.quantile(self.held_out_scores_, 1 - false_alarms))
        self.examples_ = images[train[: min(EXAMPLES, max(1, EXAMPLE_BYTES // images[0].numel()))]]
        self.about |= {"fitted": len(train), "held_out": len(held_out), "false_alarms": false_alarms}
        return self

    def decision_function(self, images: Tensor) -> np.ndarray:
        """Scores of images, uint8 (n, c, h, w) of the shape it was fitted on: float64 (n,), higher = more anomalous.

        No image's score depends on the others. Raises InputError for another shape, and before `fit`.
        """
        self._check_like_those_fitted(images)
        if not len(images):
            return np.zeros(0)
        return np.asarray(self.score(self.sized(images), torch.arange(len(images))), dtype=np.float64)

    def predict(self, images: Tensor) -> np.ndarray:
        """int64 (n,): 1 where the score lies above `threshold_`, 0 elsewhere."""
        return (self.decision_function(images) > self.threshold_).astype(np.int64)

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """For each score, how rare it would be among normal images: float64 (n,), in (0, 1].

        The share of held-out images that score as high or higher, the new image itself counted in. It is at most p in
        a share p of normal images that are like those held out (Vovk, Gammerman and Shafer, 2005).
        """
        self._check_fitted()
        m = len(self.held_out_scores_)
        return (1 + m - np.searchsorted(self.held_out_scores_, scores, side="left")) / (1 + m)

    def reconstruct(self, images: Tensor) -> Tensor | None:
        """What it makes of images as in `decision_function`: float32 (n, c, h, w) in [0, 1], beside `sized(images)`.

        None for a method that redraws none.
        """
        self._check_like_those_fitted(images)
        some = self.sized(images) if len(images) else self.examples_[:1]  # which tells the shape
        drawn = self.redraw(some, torch.arange(len(some)))
        return None if drawn is None else drawn[: len(images)].clamp(0, 1)

    def save(self, path: str | Path) -> None:
        """Write the fitted detector to a file that `open` reads. Raises InputError where that cannot be."""
        self._check_fitted()
        module, name = load(self.notebook), type(self).__name__
        if type(self).__module__ != module.__name__:
            raise InputError(f"{name} is the class of a running page: fit detectors.load({self.notebook!r}).{name}")
        saved_detectors.write(path, self, module.__dict__["SOURCE"])

    def sized(self, images: Tensor) -> Tensor:
        """Images as the networks see them: brought to `side`, uint8."""
        return images if self.side is None else data.to_side(images, self.side)

    def _key(self) -> str:
        """Of its parameters and the code of its losses, of which a checkpoint's own name says nothing."""
        source = vars(sys.modules[type(self).__module__]).get("SOURCE", "")
        return hashlib.sha256(f"{self!r} {source}".encode()).hexdigest()[:16]

    def _check_like_those_fitted(self, images: Tensor) -> None:
        _check_images(images)
        self._check_fitted()
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(f"images of shape {tuple(images.shape[1:])}: it was fitted on {self.shape}")

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise InputError(f"this {type(self).__name__} has not been fitted: call fit first")


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4:
        told = f"{images.dtype} {tuple(images.shape)}" if hasattr(images, "dtype") else type(images).__name__
        raise InputError(f"images must be a tensor, uint8 (n, c, h, w), not {told}")


def open(path: str | Path, device: str = "auto") -> Detector:
    """The detector in a file that `save` wrote. Raises InputError if it is damaged or of another version."""
    saved, to = saved_detectors.read(path), training.pick_device(device)
    notebook, name = saved["detector"]
    saved_detectors.refuse_other_version(path, saved, load(notebook).__dict__["SOURCE"])
    return saved_detectors.restored(path, kinds(notebook).get(name), saved, to)
