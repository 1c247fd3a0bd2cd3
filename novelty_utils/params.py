"""The typed, strict parameters of a run: one schema for notebook, papermill, command line and docs.

It imports neither torch nor pandas, so a wrong value is refused within a moment.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from novelty_utils.errors import InputError

# The protocols that every paper's notebook can run under; `protocols.split` makes the split of each.
Protocol = Literal["one_class", "simo", "miso", "outlier_share"]
DIGITS = tuple("0123456789")
GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot")
PICTURES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES = {
    "digits": DIGITS,
    "mnist_sample": DIGITS,
    "fashion_sample": GARMENTS,
    "mnist": DIGITS,
    "fashion_mnist": GARMENTS,
    "cifar10": PICTURES,
    "cifar10_jpeg": PICTURES,
}
CLASSES["caltech256"] = (  # in the order of the official folders, 001.ak47 to 257.clutter
    "ak47", "american-flag", "backpack", "baseball-bat", "baseball-glove", "basketball-hoop", "bat", "bathtub", "bear",
    "beer-mug", "billiards", "binoculars", "birdbath", "blimp", "bonsai-101", "boom-box", "bowling-ball", "bowling-pin",
    "boxing-glove", "brain-101", "breadmaker", "buddha-101", "bulldozer", "butterfly", "cactus", "cake", "calculator",
    "camel", "cannon", "canoe", "car-tire", "cartman", "cd", "centipede", "cereal-box", "chandelier-101", "chess-board",
    "chimp", "chopsticks", "cockroach", "coffee-mug", "coffin", "coin", "comet", "computer-keyboard",
    "computer-monitor", "computer-mouse", "conch", "cormorant", "covered-wagon", "cowboy-hat", "crab-101", "desk-globe",
    "diamond-ring", "dice", "dog", "dolphin-101", "doorknob", "drinking-straw", "duck", "dumb-bell", "eiffel-tower",
    "electric-guitar-101", "elephant-101", "elk", "ewer-101", "eyeglasses", "fern", "fighter-jet", "fire-extinguisher",
    "fire-hydrant", "fire-truck", "fireworks", "flashlight", "floppy-disk", "football-helmet", "french-horn",
    "fried-egg", "frisbee", "frog", "frying-pan", "galaxy", "gas-pump", "giraffe", "goat", "golden-gate-bridge",
    "goldfish", "golf-ball", "goose", "gorilla", "grand-piano-101", "grapes", "grasshopper", "guitar-pick", "hamburger",
    "hammock", "harmonica", "harp", "harpsichord", "hawksbill-101", "head-phones", "helicopter-101", "hibiscus",
    "homer-simpson", "horse", "horseshoe-crab", "hot-air-balloon", "hot-dog", "hot-tub", "hourglass", "house-fly",
    "human-skeleton", "hummingbird", "ibis-101", "ice-cream-cone", "iguana", "ipod", "iris", "jesus-christ",
    "joy-stick", "kangaroo-101", "kayak", "ketch-101", "killer-whale", "knife", "ladder", "laptop-101", "lathe",
    "leopards-101", "license-plate", "lightbulb", "light-house", "lightning", "llama-101", "mailbox", "mandolin",
    "mars", "mattress", "megaphone", "menorah-101", "microscope", "microwave", "minaret", "minotaur", "motorbikes-101",
    "mountain-bike", "mushroom", "mussels", "necktie", "octopus", "ostrich", "owl", "palm-pilot", "palm-tree",
    "paperclip", "paper-shredder", "pci-card", "penguin", "people", "pez-dispenser", "photocopier", "picnic-table",
    "playing-card", "porcupine", "pram", "praying-mantis", "pyramid", "raccoon", "radio-telescope", "rainbow",
    "refrigerator", "revolver-101", "rifle", "rotary-phone", "roulette-wheel", "saddle", "saturn", "school-bus",
    "scorpion-101", "screwdriver", "segway", "self-propelled-lawn-mower", "sextant", "sheet-music", "skateboard",
    "skunk", "skyscraper", "smokestack", "snail", "snake", "sneaker", "snowmobile", "soccer-ball", "socks", "soda-can",
    "spaghetti", "speed-boat", "spider", "spoon", "stained-glass", "starfish-101", "steering-wheel", "stirrups",
    "sunflower-101", "superman", "sushi", "swan", "swiss-army-knife", "sword", "syringe", "tambourine", "teapot",
    "teddy-bear", "teepee", "telephone-box", "tennis-ball", "tennis-court", "tennis-racket", "theodolite", "toaster",
    "tomato", "tombstone", "top-hat", "touring-bike", "tower-pisa", "traffic-light", "treadmill", "triceratops",
    "tricycle", "trilobite-101", "tripod", "t-shirt", "tuning-fork", "tweezer", "umbrella-101", "unicorn", "vcr",
    "video-projector", "washing-machine", "watch-101", "waterfall", "watermelon", "welding-mask", "wheelbarrow",
    "windmill", "wine-bottle", "xylophone", "yarmulke", "yo-yo", "zebra", "airplanes-101", "car-side-101",
    "faces-easy-101", "greyhound", "tennis-shoes", "toad", "clutter",
)  # fmt: skip
# Inspection data: each class is a product of its own, with sound and defective examples.
DEFECT_CLASSES = {
    "synthetic_defects": ("brick", "cloth", "gravel", "capsule", "nut", "zipper"),
    "mvtec_ad": (
        "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw", "tile",
        "toothbrush", "transistor", "wood", "zipper",
    ),
}  # fmt: skip


MANY_CLASSES = 20  # more are not listed in one line
LONGEST_NAME = 255  # of a file or folder, on every common file system


def class_names(dataset: str) -> tuple[str, ...]:
    """The class names of a data set, in label order, without loading an image.

    `folder:PATH` has one class per sub-folder of PATH (or of PATH/train, where PATH/train and PATH/test exist).
    Raises InputError for an unknown name, a path that is no folder, and a folder with fewer than two classes.
    """
    if dataset in CLASSES:
        return CLASSES[dataset]
    root = _root(dataset, CLASSES)
    with reachable("dataset", dataset):
        if is_folder(root / "train") and is_folder(root / "test"):
            names = {p.name for part in ("train", "test") for p in (root / part).iterdir() if _is_class(p)}
        else:
            names = {p.name for p in root.iterdir() if _is_class(p)}
    if len(names) < 2:
        wanted = "give the folder that holds one folder of images per class"
        raise InputError(f"dataset={dataset!r}: {root} needs at least two class folders, found {len(names)}: {wanted}")
    return tuple(sorted(names))


def defect_class_names(dataset: str) -> tuple[str, ...]:
    """The class names of a data set of defects, without loading an image: the sub-folders that hold a `train` folder.

    Raises InputError for an unknown name, a path that is no folder, and a folder without a class.
    """
    if dataset in DEFECT_CLASSES:
        return DEFECT_CLASSES[dataset]
    root = _root(dataset, DEFECT_CLASSES)
    with reachable("dataset", dataset):
        names = sorted(p.name for p in root.iterdir() if _is_class(p) and is_folder(p / "train"))
    if not names:
        raise InputError(f"dataset={dataset!r}: no CLASS/train/good in {root}; give the folder that holds the classes")
    return tuple(names)


def _root(dataset: str, known: Mapping[str, tuple[str, ...]]) -> Path:
    if not dataset.startswith("folder:"):
        raise InputError(f"dataset={dataset!r} is not known: choose one of {', '.join(known)} or folder:PATH")
    path = dataset.removeprefix("folder:")
    root = user_path("dataset=folder:PATH, PATH", path)
    with reachable("dataset", dataset):
        if not is_folder(root):
            spaced = f" (write folder:{path.strip()}, without the space)" * (path != path.strip())
            wanted = f"give one with a sub-folder per class{spaced}"
            raise InputError(f"dataset={dataset!r}: {root} is not a folder; {wanted}")
    return root


def user_path(name: str, text: str) -> Path:
    """A path as a user gave it as `name`, with a `~` spelled out; InputError for what cannot be one."""
    try:
        if not text.strip() or not text.isprintable():
            raise InputError(f"{name}={text!r} names no folder: give a path of printable characters")
        path = Path(text).expanduser()
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
            raise InputError(f"{name}={text!r} has a part of more than {LONGEST_NAME} bytes: give a shorter name")
        return path
    except RuntimeError as error:
        raise InputError(f"{name}={text!r}: there is no home folder of that name; give the whole path") from error


@contextlib.contextmanager
def reachable(name: str, value: str) -> Iterator[None]:
    """Turn what the system says of a path, no permission or a name too long, into an InputError that names it."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{name}={value!r} cannot be used ({error.strerror}): check path and permissions") from error


def first_there(path: Path) -> Path:
    """The path, or the nearest folder above that there is. Raises OSError where one cannot look."""
    for one in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            one.stat()
            return one
    return path


def is_folder(path: Path) -> bool:
    """Whether there is a folder. Raises OSError where one cannot look: `Path.is_dir()` says no from Python 3.14 on."""
    return first_there(path) == path and path.is_dir()


def _is_class(path: Path) -> bool:
    return is_folder(path) and not path.name.startswith(".")


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text)]


class RunParameters(BaseModel):
    """What every notebook takes; a paper adds its own fields in a subclass. Values are checked, never converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    classes_of = staticmethod(class_names)  # which data sets a paper knows

    dataset: str = Field(description=f"{', '.join(CLASSES)} or folder:PATH")
    class_name: Text = Field(description="the class in question: its name, its number, or all (every class in turn)")
    tier: Literal["smoke", "demo", "paper"] = Field(description="smoke (a minute), demo (minutes), paper (as printed)")
    seed: int = Field(ge=0, lt=2**31, description="seed of the training subset, the weights and the batches")
    device: Literal["auto", "cpu", "cuda"] = Field(description="where to train; auto takes a GPU if there is one")
    results: str = Field(min_length=1, description="folder that the record of this run is written to")

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        cls.classes_of(value)
        return value

    @model_validator(mode="after")
    def _known_class(self) -> RunParameters:
        self.labels()
        return self

    @field_validator("results")
    @classmethod
    def _folder(cls, value: str) -> str:
        with reachable("results", value):
            existing = first_there(user_path("results", value).absolute())
        if not existing.is_dir():
            raise InputError(f"results={value!r}: {existing} is a file; give a folder")
        if not os.access(existing, os.W_OK):
            raise InputError(f"results={value!r}: {existing} cannot be written to; give a folder that can")
        return str(user_path("results", value))  # a `~` spelled out, as in `folder:~/photos`

    def labels(self) -> tuple[int, ...]:
        """The labels meant by `class_name`: one, or every label for `all`."""
        names = self.classes_of(self.dataset)
        if self.class_name == "all":
            return tuple(range(len(names)))
        if self.class_name in names:
            return (names.index(self.class_name),)
        if self.class_name.isdecimal() and int(self.class_name) < len(names):
            return (int(self.class_name),)
        allowed = f"{self._told(names)}, 0 to {len(names) - 1}, or all"
        raise InputError(f"class_name={self.class_name!r} is not a class of {self.dataset}: choose {allowed}")

    def _told(self, names: tuple[str, ...]) -> str:
        """The names of the classes; where they are many, those most like the one given, and who lists all."""
        if len(names) <= MANY_CLASSES:
            return ", ".join(names)
        given = self.class_name
        near = [name for name in names if given in name] or difflib.get_close_matches(given, names) or names
        lister = f"novelty_utils.params.{self.classes_of.__name__}({self.dataset!r})"
        return f"one of {len(names)} such as {', '.join(near[:5])} ({lister} has all)"

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> RunParameters:
        """Validate a namespace (a notebook's `globals()`): only the schema's names are looked at.

        Raises InputError, one line, if a value is missing, of the wrong type or not allowed.
        """
        with _one_line(cls):
            return cls.model_validate({name: values[name] for name in cls.model_fields if name in values})

    @classmethod
    def parse(cls, defaults: Mapping[str, Any], text: Mapping[str, str]) -> RunParameters:
        """Validate command-line text over the notebook's defaults; an unknown name is refused.

        Raises InputError, one line. `defaults` holds Python values, `text` the strings as typed.
        """
        unknown = [name for name in text if name not in cls.model_fields]
        if unknown:
            raise InputError(f"unknown parameter {unknown[0]!r}: choose from {', '.join(cls.model_fields)}")
        words = {name: str(value) for name, value in defaults.items() if name in cls.model_fields} | dict(text)
        with _one_line(cls):
            return cls.model_validate_strings(words, strict=False)


class _one_line:  # noqa: N801
    """Turn pydantic's report into one InputError line about the first fault."""

    def __init__(self, schema: type[RunParameters]):
        self.schema = schema

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, ValidationError):
            return
        fault = error.errors(include_url=False)[0]
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, InputError):
            raise inner from None
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "missing":
            raise InputError(f"parameter {name!r} is missing: {self.schema.model_fields[name].description}") from None
        about = self.schema.model_fields[name].description if name in self.schema.model_fields else ""
        message = fault["msg"][0].lower() + fault["msg"][1:]  # not all of it: allowed values may have capitals
        raise InputError(f"{name}={fault['input']!r}: {message} ({about})") from None
