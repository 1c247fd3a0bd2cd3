"""The classes of every data set by name: those of the known ones, those of a folder, and what a typed name means."""

from __future__ import annotations

import contextlib
import difflib
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from novelty_utils.errors import InputError, shown
from novelty_utils.files import is_folder, reachable, user_path

PLAIN = {  # numbers as they may be typed: no 1_000, no digits but 0 to 9, and 1.0 is no whole number
    "integer": re.compile(r"[+-]?[0-9]+"),
    "number": re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"),
}
DIGITS = tuple("0123456789")
GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot")
PICTURES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CELLS = ("functional", "defective")
CLASSES = {
    "digits": DIGITS,
    "mnist_sample": DIGITS,
    "fashion_sample": GARMENTS,
    "mnist": DIGITS,
    "fashion_mnist": GARMENTS,
    "cifar10": PICTURES,
    "cifar10_jpeg": PICTURES,
}
CLASSES |= {f"elpv_{kind}_{third}": CELLS for kind in ("mono", "poly") for third in (1, 2, 3)}
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
# The images that papers print numbers on, and what stands in for them; all others are somebody's own or a trial's.
IN_PAPERS = {"digits", "mnist", "fashion_mnist", "cifar10", "cifar10_jpeg", "caltech256"}
IN_PAPERS |= {"mvtec_ad", "synthetic_defects"}
# Inspection data: each class is a product of its own, with sound and defective examples.
DEFECT_CLASSES = {
    "synthetic_defects": ("brick", "cloth", "gravel", "capsule", "nut", "zipper"),
    "mvtec_ad": (
        "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw", "tile",
        "toothbrush", "transistor", "wood", "zipper",
    ),
}  # fmt: skip


MANY_CLASSES = 20  # more are not listed in one line


def class_names(dataset: str) -> tuple[str, ...]:
    """The class names of a data set, in label order, without loading an image.

    `folder:PATH` has one class per sub-folder of PATH (or of PATH/train, where PATH/train and PATH/test exist).
    Raises InputError for an unknown name, a path that is no folder, and a folder with fewer than two classes.
    """
    if dataset in CLASSES:
        return CLASSES[dataset]
    root = _root(dataset, CLASSES)
    with reachable("dataset", dataset):
        inside = _class_folders(root)
        _refuse_other_parts(root, inside)
        if {"train", "test"} <= inside:
            names = _class_folders(root / "train") | _class_folders(root / "test")
        else:
            names = inside
        below = [name for name in inside if len(names) < 2 and len(_class_folders(root / name)) > 1]
    if len(names) < 2:
        wanted = "give the folder that holds one folder of images per class"
        wanted += f", such as folder:{root / min(below)}" if below else ""
        raise InputError(f"dataset={dataset!r}: {root} needs at least two class folders, found {len(names)}: {wanted}")
    return _unmistakable(root, names)


def refuse_unwritable(folder: Path) -> None:
    """Raise InputError for a name that no record could hold or no figure show: found now, not after the training."""
    name = folder.name
    if not name.isprintable():  # bytes of another encoding among them
        raise InputError(f"{folder.parent} has a folder {name!r}: give it a name of printable characters (UTF-8)")
    if "$" in name:  # Matplotlib stops at a formula that is none
        raise InputError(f"{folder} has a $ in its name, which figures take for a formula: rename the folder")


def _class_folders(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if _is_class(path)}


def _refuse_other_parts(root: Path, inside: set[str]) -> None:
    """`Train` and `test` would be two classes to a file system that tells large letters from small ones."""
    parts = sorted(name for name in inside if name.casefold() in ("train", "test"))
    if {name.casefold() for name in parts} == {"train", "test"} and parts != ["test", "train"]:
        raise InputError(f"{root} holds {' and '.join(parts)}: call the two parts train and test, in small letters")


def _unmistakable(root: Path, names: set[str]) -> tuple[str, ...]:
    """The names, sorted, if each can be meant by what one types. Raises InputError otherwise."""
    alike: dict[str, str] = {}
    for name in sorted(names):
        if name == "all":
            raise InputError(f"{root / name} is called like every class in turn: give the folder another name")
        refuse_unwritable(root / name)
        other = alike.setdefault(unicodedata.normalize("NFKC", name), name)
        if other != name:
            raise InputError(
                f"{root} has two class folders that look alike, {other!a} and {name!a}: rename one of them"
            )
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
    return _unmistakable(root, set(names))


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


def _is_class(path: Path) -> bool:
    return not is_clutter(path.name) and is_folder(path)


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's: hidden, or left by a file manager or an archive."""
    return name.startswith(".") or name.lower() in {"thumbs.db", "desktop.ini", "__macosx"}


# --- what somebody types -------------------------------------------------------------------------------------------


def meant(typed: str, names: tuple[str, ...], dataset: str, lister: str) -> tuple[int, ...]:
    """The labels that `typed` means, one or, for `all`, every one; `lister` is a call that tells all names.

    A place in the order, counted from 0, will do as well, but not where a class is called by a number.
    Raises InputError, one line, for what is no class.
    """
    if typed == "all":
        return tuple(range(len(names)))
    form = unicodedata.normalize("NFC", typed)  # a file system may hold another form of the same letters
    normal = [unicodedata.normalize("NFC", name) for name in names]
    if form in normal:
        return (normal.index(form),)
    by_place = not any(map(is_number, names))
    if by_place and PLAIN["integer"].fullmatch(typed) and len(typed) < 10 and 0 <= int(typed) < len(names):
        return (int(typed),)
    allowed = (
        f"{_told(typed, names, lister)}, {f'0 to {len(names) - 1}, ' * by_place}or all{_how_to_quote(typed, names)}"
    )
    raise InputError(f"class_name={shown(typed)} is not a class of {dataset}: choose {allowed}")


def refuse_ambiguous(number: int, names: tuple[str, ...]) -> None:
    """Raise InputError if a number that papermill or YAML has made of a name may have been one or another: 1 or 01."""
    found = [name for name in names if _may_mean(name, number)]
    if len(found) > 1:
        raise InputError(f"class_name={number} may mean {' or '.join(found)}: {_quoted(found[0])}")


def is_number(text: str) -> bool:
    """Whether Python, and so papermill, would read it as a number."""
    with contextlib.suppress(ValueError):
        float(text)
        return True
    return False


def _told(typed: str, names: tuple[str, ...], lister: str) -> str:
    """The names of the classes; where they are many, those most like the one given, and who lists all."""
    if len(names) <= MANY_CLASSES:
        return ", ".join(names)
    near = [name for name in names if typed in name] or difflib.get_close_matches(typed[:100], names) or names
    return f"one of {len(names)} such as {', '.join(near[:5])} ({lister} has all)"


def _may_mean(name: str, number: int) -> bool:
    """Whether a name in digits has this value, by tens or, behind a zero, by eights, as YAML reads 010."""
    if not PLAIN["integer"].fullmatch(name) or len(name) > 20:
        return False
    return int(name) == number or (re.fullmatch("0[0-7]+", name) is not None and int(name, 8) == number)


def _how_to_quote(typed: str, names: tuple[str, ...]) -> str:
    if not PLAIN["integer"].fullmatch(typed) or len(typed) > 20:
        return ""
    name = next((name for name in names if _may_mean(name, int(typed))), None)
    return f" ({name} is text: {_quoted(name)})" if name else ""


def _quoted(name: str) -> str:
    return f"with papermill write -r class_name {name}, with novelty run -p class_name={name}, in YAML '{name}'"
