"""Whole runs of the CRBND notebook with two steps of training, and what it refuses."""

import json

import pytest
import torch
from caltech_files import IMAGES, write_layout
from notebook_cells import names_after, refused

from novelty_utils.data import caltech

pytestmark = pytest.mark.slow

BEFORE_TRAINING = "autoencoders, histories, health = "
BEFORE_TABLES = "DEFAULTS = {"
QUICK = {'"smoke": (100, 100)': '"smoke": (2, 2)'}


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> dict:
    """The notebook's names with two steps of training, all ablations included, up to its tables."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "Agg")
        names = names_after("crbnd", BEFORE_TABLES, QUICK, ablations=True, results=str(folder))
    return names | {"folder": folder}


# --- a whole run ---------------------------------------------------------------------------------------------------


def test_a_run_with_ablations_records_every_score(everything):
    (file,) = everything["folder"].glob("crbnd/digits/*.json")
    results = json.loads(file.read_text())["results"]
    methods = {result["method"] for result in results}
    assert methods == {*everything["variants"], *everything["BASELINES"]}
    assert len(everything["variants"]) == 1 + 4 + 4 + 1 + 3
    for method in methods:
        metrics = {result["metric"]: result for result in results if result["method"] == method}
        rules = ["best", "held_out"] + ["half"] * (method in everything["variants"])
        assert {f"f1;rule={rule};share={share}" for rule in rules for share in (10, 20, 30, 40, 50)} <= metrics.keys()
        assert 0 <= metrics["auroc"]["low"] <= metrics["auroc"]["value"] <= metrics["auroc"]["high"] <= 1
        best = metrics["f1;rule=best;share=50"]
        assert best["low"] <= best["value"] <= best["high"]


def test_a_record_says_of_every_training_whether_it_is_alive_but_of_the_void_one(everything):
    (file,) = everything["folder"].glob("crbnd/digits/*.json")
    trained = json.loads(file.read_text())["training"]
    assert trained["A"]["collapse"]["collapsed"]  # after two steps
    assert trained["A"]["restarts"] == 2
    assert {name for name, how in trained.items() if "collapse" not in how} == {"λ = 1"}


def test_some_categories_of_caltech_against_clutter(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("NOVELTY_DATA", str(tmp_path))
    monkeypatch.setattr(caltech, "IMAGES", IMAGES + 36)
    folder = write_layout(tmp_path)
    picture = (folder / "001.ak47" / "001_0001.jpg").read_bytes()
    for name, more in (("001.ak47", 14), ("257.clutter", 22)):  # 24 of each: enough of one category to train on
        for number in range(more):
            (folder / name / f"more_{number:04d}.jpg").write_bytes(picture)
    monkeypatch.setattr("novelty_utils.data.protocols.torch.randperm", _ascending)
    how = {"dataset": "caltech256", "class_name": "all", "side": 16, "protocol": "inlier_categories"}
    names = names_after("crbnd", BEFORE_TRAINING, repetitions=1, results=str(tmp_path), **how)
    (split,) = names["splits"].values()
    assert names["images"].shape[1:] == (3, 16, 16)
    assert split.normal == ("ak47",)
    novel = split.test[torch.from_numpy(split.reveal() == 1)]
    assert {names["ds"].classes[label] for label in names["ds"].labels[novel]} == {"clutter"}
    assert split.reveal().mean() == 0.5


def _ascending(n, **_):
    return torch.arange(n)


def test_repetitions_are_recorded_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    how = {"class_name": "all", "protocol": "inlier_categories", "n_inlier": 2, "repetitions": 2, "arch": "code"}
    names = names_after("crbnd", BEFORE_TABLES, QUICK, results=str(tmp_path), **how)
    files = sorted(tmp_path.glob("crbnd/digits/*.json"))
    assert len(files) == 2
    for file, split in zip(files, names["splits"].values(), strict=True):
        record = json.loads(file.read_text())
        assert record["class_name"].split("_")[1] == "+".join(split.normal)
        assert {r["metric"] for r in record["results"] if r["method"] == "CRBND"} >= {"auroc", "f1;rule=half;share=50"}


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["lam=1.01"], "lam='1.01': input should be less than or equal to 1"),
        (["lam=-0.1"], "lam='-0.1': input should be greater than or equal to 0"),
        (["lam=nan"], "lam='nan'"),
        (["side=8"], "side='8': input should be a multiple of 16"),
        (["side=40"], "side='40': input should be a multiple of 16"),
        (["depth=0"], "depth='0': input should be greater than or equal to 1"),
        (["depth=5", "side=48"], "depth=5: side=48 cannot be halved so often; give a multiple of 32, or less depth"),
        (["arch=code", "depth=2"], "depth=2: the public code's A halves an image four times"),
        (["blur=4"], "blur=4: the length must be odd and at most side=32"),
        (["blur=33"], "blur=33: the length must be odd and at most side=32"),
        (["noise=0"], "noise='0': input should be greater than 0"),
        (["arch=unet"], "arch='unet'"),
        (["x_d=image"], "x_d='image'"),
        (["x_prime=noisy"], "x_prime='noisy'"),
        (["protocol=all"], "protocol='all'"),
        (["shares=0,10"], "shares='0,10': give whole numbers from 1 to 99"),
        (["shares=10%"], "shares='10%'"),
        (["shares="], "shares=''"),
        (["shares=10,10"], "names a share twice"),
        (["shares=95"], "an outlier share of 95 % cannot be filled"),
        (["protocol=inlier_categories"], "class_name='3': inlier_categories draws its categories from all classes"),
        (["protocol=inlier_categories", "class_name=all", "n_inlier=10"], "n_inlier=10: digits has 10 categories"),
        (["protocol=inlier_categories", "class_name=all", "n_inlier=0"], "n_inlier='0'"),
        (["protocol=inlier_categories", "class_name=all", "repetitions=0"], "repetitions='0'"),
        (["ablations=maybe"], "ablations='maybe'"),
    ],
)
def test_values_that_cannot_be(pairs, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused("crbnd", [word for pair in pairs for word in ("-p", pair)], capsys)
