"""ADe-GAN's page run for a few steps: what it records of every variant, and what it refuses."""

import json

import numpy as np
import pytest
from notebook_cells import NOTEBOOKS, names_after, refused

from novelty_utils import detectors
from novelty_utils.runs import checking

pytestmark = pytest.mark.slow

AFTER_THE_RECORD = "this_run = "
QUICK = {'"smoke": 800': '"smoke": 4'}
VARIANTS = (
    "plain_codes",
    "rescaled_codes",
    "penalise_E",
    "middle",
    "one_hot",
    "group_norm",
    "apart",
    "bare_features",
    "real_codes",
)


def run(folder, quick=QUICK, **parameters) -> tuple[dict, dict]:
    """The page's names once it has written its record, and the record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "Agg")
        names = names_after("ade_gan", AFTER_THE_RECORD, quick, results=str(folder), **parameters)
    names["plt"].close("all")
    (file,) = folder.glob("ade_gan/digits/*.json")
    return names, json.loads(file.read_text())


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[dict, dict]:
    return run(tmp_path_factory.mktemp("results"))


def test_a_run_records_every_score_and_its_health(page):
    results = page[1]["results"]
    auroc = {r["method"]: r for r in results if r["metric"] == "auroc"}
    assert set(auroc) == {"R1", "R2", "R3", "R4", "R1, empirical", "error", "pattern", "pixels"}
    assert all(0 <= r["low"] <= r["value"] <= r["high"] <= 1 for r in auroc.values())
    measures = {r["metric"]: r["value"] for r in results if r["method"] == "health"}
    assert measures.keys() >= {"diversity", "within", "patterns used", "confidence", "length", "D", "collapsed"}
    assert 1 <= measures["patterns used"] <= 10 and 0.1 <= measures["confidence"] <= 1


def test_a_network_that_redraws_everything_alike_is_called_collapsed(page, monkeypatch):
    names, k = page[0], page[0]["shown"]
    monkeypatch.setitem(names, "has_collapsed", lambda measures, n_c: False)
    for dead in (True, False):
        monkeypatch.setitem(names["redrawn"], k, {"collapsed": dead})
        assert names["health_of"](k)["collapsed"] == dead


@pytest.mark.parametrize("variant", [*VARIANTS, "sequential", "no_gan"])
def test_every_variant_runs_and_is_recorded(variant, tmp_path):
    names, record = run(tmp_path, variant=variant)
    assert record["parameters"]["variant"] == variant
    assert all(np.isfinite(s).all() for s in names["scored"][names["shown"]].values())
    stages = {"sequential": [{"D", "G"}, {"recon"}], "no_gan": [{"recon"}]}.get(variant, [{"D", "G", "recon"}])
    assert len(record["training"]) == len(stages)
    for number, wanted in enumerate(stages, 1):
        terms = record["training"][f"stage {number}"]["terms"]
        assert wanted == {"D", "G", "recon"} & set(terms)
    assert "collapse" in record["training"][f"stage {len(stages)}"]


def test_the_page_knows_the_variants_that_its_detector_knows():
    schema, _ = checking.read_schema(NOTEBOOKS / "ade_gan.ipynb")
    assert schema.model_fields["variant"].annotation == detectors.load("ade_gan").Variant


def test_an_autoencoder_is_recorded_by_its_error_at_two_lengths(tmp_path):
    _, record = run(tmp_path, {'"smoke": 800': '"smoke": 120'}, d=3, variant="autoencoder")
    values = {(r["method"], r["metric"]): r["value"] for r in record["results"]}
    assert set(values) == {
        ("health", "collapsed"), ("error", "auroc"), ("pixels", "auroc"), ("error", "auroc;after=third"),
        ("error", "error;held_out"), ("error", "error;held_out;after=third"),
    }  # fmt: skip
    assert values["error", "error;held_out"] < values["error", "error;held_out;after=third"]
    assert set(record["training"]["stage 1"]["terms"]) == {"loss", "recon"}
    assert record["training"]["stage 1"]["collapse"]["collapsed"] == bool(values["health", "collapsed"])


@pytest.mark.parametrize("n_c", [2, 32])
def test_the_least_and_the_greatest_number_of_patterns(n_c, tmp_path):
    names, _ = run(tmp_path, n_c=n_c)
    _, m = names["parts"][names["shown"]]
    assert 1 / n_c <= m.min() <= m.max() <= 1
    assert 1 <= names["measured"][names["shown"]]["patterns used"] <= n_c + 1e-6


@pytest.mark.parametrize(("dataset", "d"), [("digits", 30), ("mnist", 30), ("fashion_mnist", 40), ("cifar10", 64)])
def test_the_length_of_a_feature_is_that_of_cluster_gan_unless_given(page, dataset, d):
    asked = page[0]["p"].model_dump() | {"dataset": dataset}
    assert page[0]["Parameters"].check(asked | {"d": 0}).d == d
    assert page[0]["Parameters"].check(asked | {"d": 8}).d == 8


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["n_c=1"], "n_c='1': input should be greater than or equal to 2"),
        (["n_c=33"], "n_c=33: a batch of 32 cannot hold every pattern; choose n_c from 2 to 32"),
        (["n_c=11", "batch=10"], "n_c=11: a batch of 10"),
        (["n_c=ten"], "n_c='ten'"),
        (["alpha=-1"], "alpha='-1': input should be greater than or equal to 0"),
        (["beta=-0.1"], "beta='-0.1': input should be greater than or equal to 0"),
        (["gamma=-10"], "gamma='-10': input should be greater than or equal to 0"),
        (["gamma=nan"], "gamma='nan'"),
        (["alpha=0", "beta=0", "gamma=0"], "alpha, beta and gamma are all 0"),
        (["class_name=10"], "class_name='10' is not a class of digits: choose 0, 1, 2"),
        (["class_name=one"], "class_name='one' is not a class of digits"),
        (["recon_norm=l1"], "recon_norm='l1'"),
        (["d=-1"], "d='-1': input should be greater than or equal to 0"),
        (["d=long"], "d='long'"),
        (["variant=none"], "variant='none'"),
        (["width=12"], "width='12': input should be a multiple of 8"),
        (["width=0"], "width='0'"),
        (["batch=1"], "batch='1'"),
        (["batch=2000"], "batch=2000: there are"),
    ],
)
def test_values_that_cannot_be(pairs, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused("ade_gan", [word for pair in pairs for word in ("-p", pair)], capsys)
