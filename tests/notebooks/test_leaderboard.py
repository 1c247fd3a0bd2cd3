"""The leaderboard: its baselines against PyOD, and its ranks and tables on records made up by hand."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from notebook_cells import NOTEBOOKS, names_after
from pyod.models.knn import KNN
from pyod.models.lof import LOF

from novelty_utils import detectors
from novelty_utils.data.datasets import Dataset
from novelty_utils.errors import InputError
from novelty_utils.evaluation import statistics
from novelty_utils.params import RunParameters
from novelty_utils.records import store
from novelty_utils.records.store import Record, Result

pytestmark = pytest.mark.slow

BASELINES = detectors.load("leaderboard")
BEFORE_RECORDS = "PAPERS = ("
DATA = Dataset("mnist", torch.zeros(5, 1, 2, 2), torch.zeros(5), torch.zeros(5), tuple("0123456789"), "abc")


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> dict:
    """The notebook's names after its own run on digits, up to where it reads records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "Agg")
        names = names_after("leaderboard", BEFORE_RECORDS, results=str(tmp_path_factory.mktemp("results")))
    rest = names_after_cells(names)
    names["plt"].close("all")
    return rest


def names_after_cells(names: dict) -> dict:
    """The names with the functions of the cells that come after the records are read, and no table made."""
    cells = json.loads((NOTEBOOKS / "leaderboard.ipynb").read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = names | {"runs": rows_of(pd.DataFrame({"PCA": [0.9]}, index=["0"]))}  # for the letters of the hardware
    for start in (
        "def block_values",
        "# a letter for each kind of hardware",
        "def class_panel",
        "def duels",
        "def codes_minus",
        "def share_table",
    ):
        (source,) = (source for source in sources if source.lstrip().startswith(start))
        exec(
            compile(re.split(r"\npooled = |\nfor protocol_|\nfor dataset_|\nwords = ", source)[0], "notebook", "exec"),
            names,
        )
    return names


def record(paper="leaderboard", tier="demo", label="3", seed=0, found=(), training=None, **parameters) -> Record:
    """A record on MNIST with these results, the parameters as they are."""
    asked = {"dataset": "mnist", "class_name": label, "tier": tier, "seed": seed, "device": "cpu", "results": "r"}
    made = store.make(paper, RunParameters.check(asked), DATA, label, list(found), training or {}, 1.0, 1)
    return made.model_copy(update={"parameters": made.parameters | {"protocol": "simo"} | parameters})


def auroc(method, value, metric="auroc") -> Result:
    return Result(method=method, metric=metric, value=value)


def baseline(name="PCA", value=0.9, **more) -> Record:
    cost = {name: {"seconds": 2.0, "scoring_seconds": 0.5, "scored_images": 1000}}
    return record(found=[auroc(name, value)], training=cost, **more)


# --- baselines -----------------------------------------------------------------------------------------------------


def test_a_run_records_five_baselines_with_times_and_shares(board):
    (read,) = store.read("leaderboard", board["p"].results)
    assert {r.method for r in read.results} == set(board["BASELINES"]) == set(read.training)
    for name in board["BASELINES"]:
        metrics_ = {r.metric for r in read.results if r.method == name}
        assert {"auroc", "auroc;share=10", "f1;rule=best;share=50", "f1;rule=held_out;share=50"} <= metrics_
        assert read.training[name]["scored_images"] == 500
        assert read.training[name]["scoring_seconds"] > 0
    assert all(0.85 < r.value < 1 for r in read.results if r.metric == "auroc")


@pytest.mark.parametrize(("name", "peer"), [("k-NN", KNN(n_neighbors=5)), ("LOF", LOF(novelty=True))])
def test_a_baseline_scores_as_pyod_does(name, peer):
    X, x = (np.random.default_rng(i).normal(size=(n, 4)) for i, n in ((0, 80), (1, 30)))
    mine = BASELINES.BASELINES[name]()
    mine.fit_rows(X)
    np.testing.assert_allclose(mine.score_rows(x), peer.fit(X).decision_function(x), rtol=1e-6)


def test_pca_measures_the_distance_to_the_plane():
    plane = BASELINES.PCA(components=2)
    plane.fit_rows(np.random.default_rng(0).normal(size=(50, 3)) * [3, 2, 0])
    np.testing.assert_allclose(plane.score_rows(np.array([[1.0, 1, 0], [1, 1, 2]])), [0, 4], atol=1e-9)


def test_pca_refuses_images_that_its_components_redraw_without_error():
    images = torch.randint(0, 256, (30, 1, 2, 4), dtype=torch.uint8)
    assert len(BASELINES.PCA(components=7).fit(images).decision_function(images)) == 30
    with pytest.raises(InputError, match="8 pixels"):
        BASELINES.PCA(components=8).fit(images)


@pytest.mark.parametrize("name", ["OCSVM", "LOF"])
def test_many_images_are_thinned_out_by_the_seed(name):
    train = torch.arange(2 * BASELINES.MOST) + 5
    once, again, other = (getattr(BASELINES, name)(seed=seed).chosen(train) for seed in (1, 1, 2))
    assert len(once.unique()) == BASELINES.MOST
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert set(once.tolist()) < set(train.tolist())
    assert torch.equal(BASELINES.KNN().chosen(train), train)


# --- what is read from records -------------------------------------------------------------------------------------


def test_a_row_has_the_score_and_what_it_cost(board):
    (row,) = board["collected"]([baseline()]).to_dict("records")
    assert (row["name"], row["protocol"], row["auroc"]) == ("PCA", "simo", 0.9)
    assert (row["train"], row["ms"]) == (2.0, 0.5)


def test_a_smoke_record_is_refused(board):
    assert len(board["collected"]([baseline(), baseline(tier="smoke", label="4")])) == 1
    assert not len(board["collected"]([baseline(tier="smoke")]))


def test_the_board_is_of_one_tier(board):
    every = [baseline(label=str(i)) for i in range(3)] + [baseline(tier="paper", label=str(i)) for i in range(5)]
    assert set(board["collected"](every).class_name) == {"0", "1", "2"}
    assert len(board["collected"](every)) == 3


def test_a_run_with_other_parameters_is_another_method(board):
    ours = board["ICS_SET"]
    cost = {"CAE": {"seconds": 1.0}, "ICS": {"seconds": 2.0}}
    made = [record("ics", found=[auroc("ICS", 0.8)], training=cost, **ours | {"rho": rho}) for rho in (10.0, 20.0)]
    (row,) = board["collected"](made).to_dict("records")
    assert row["name"] == "ICS"
    assert row["train"] == 3.0  # both stages
    assert np.isnan(row["ms"])  # a record older than the measurement


def test_outlier_share_counts_as_simo_and_a_run_of_both_once(board):
    made = [baseline(protocol="outlier_share"), baseline(protocol="simo")]
    assert board["collected"](made).protocol.tolist() == ["simo"]
    assert not len(board["collected"]([baseline(protocol="inlier_categories")]))


@pytest.mark.prose
def test_every_contestant_of_the_papers_is_found_in_the_committed_records(board):
    root = store.Path(store.__file__).parents[2] / "results"
    every = [r for paper in ("ics", "nln", "crbnd", "ade_gan") for r in store.read(paper, root)]
    found = set(board["collected"](every).name)
    assert found | {"CRBND"} == {one.name for one in board["CONTESTANTS"] if one.paper != "leaderboard"}


def test_crbnd_with_four_poolings_joins_where_all_ten_classes_are_there(board):
    root = store.Path(store.__file__).parents[2] / "results"
    every = [r for r in store.read("crbnd", root) if r.parameters["protocol"] in ("outlier_share", "one_class")]
    four = [r.model_copy(update={"parameters": r.parameters | {"depth": 4}}) for r in every]
    assert "CRBND" in set(board["collected"](four).name)
    assert "CRBND" not in set(board["collected"]([r for r in four if r.class_name not in ("7", "bag")]).name)


# --- ranks ---------------------------------------------------------------------------------------------------------


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    """One run per cell of a table class × contestant that is not NaN."""
    long = table.rename_axis("class_name").reset_index().melt("class_name", var_name="name", value_name="auroc")
    about = {"dataset": "mnist", "protocol": "simo", "seed": 0, "train": 1.0, "ms": 1.0}
    return long.dropna().assign(**about, hardware="A computer")


def test_only_blocks_that_all_ranked_contestants_have_are_ranked(board):
    nan = np.nan
    cells = {"PCA": [0.1, 0.2, 0.3, 0.4], "LOF": [0.2, 0.1, 0.4, nan], "ICS": [0.9, nan, nan, nan]}
    values = board["block_values"](rows_of(pd.DataFrame(cells, index=list("0123"))))
    common = board["common_blocks"](values)
    assert set(common.columns) == {"PCA", "LOF"}  # a quarter of the blocks is too few to be ranked
    assert common.index.get_level_values(1).tolist() == ["0", "1", "2"]


def test_a_contestant_of_one_data_set_is_not_ranked_over_two(board):
    rows = rows_of(pd.DataFrame({"PCA": [0.1, 0.2], "LOF": [0.2, 0.1], "ICS": [0.9, 0.9]}, index=list("01")))
    rows = pd.concat([rows, rows[rows.name != "ICS"].assign(dataset="fashion_mnist")])
    rows = pd.concat([rows, rows[:1].assign(name="ICS", dataset="fashion_mnist")])  # one block of two there
    common = board["common_blocks"](board["block_values"](rows))
    assert set(common.columns) == {"PCA", "LOF"}
    assert len(common) == 4


def test_seeds_are_averaged_before_they_are_ranked(board):
    rows = rows_of(pd.DataFrame({"PCA": [0.4], "LOF": [0.5]}, index=["0"]))
    rows = pd.concat([rows, rows.assign(seed=1, auroc=[0.8, 0.6])])
    assert board["block_values"](rows).iloc[0].to_dict() == pytest.approx({"PCA": 0.6, "LOF": 0.55})


def test_contestants_without_runs_are_listed_as_not_run(board):
    cells = {"PCA": [0.9, 0.7, 0.9, 0.7, 0.8], "LOF": [0.8, 0.6, 0.8, 0.6, 0.7]}
    table, _ = board["standings"](rows_of(pd.DataFrame(cells, index=list("01234"))))
    assert sorted(table.contestant) == sorted(board["NAMES"])
    by = table.set_index("contestant")
    assert by.index[:2].tolist() == ["PCA", "LOF"]
    assert by.AUROC[2:].isna().all()
    assert by.loc["PCA", "rank"] == 1
    # a standard deviation of ten points, Student's t with four degrees of freedom
    assert by.loc["PCA", "±"] == pytest.approx(2.776 * 10 / np.sqrt(5), abs=0.01)


# --- what the prose says of the committed records ------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(board) -> pd.DataFrame:
    """The rows of the committed records."""
    papers = ("leaderboard", "ics", "nln", "crbnd", "ade_gan")
    every = [record for paper in papers for record in store.read(paper, NOTEBOOKS.parent / "results")]
    return board["collected"](every)


@pytest.fixture(scope="module")
def committed(board, rows) -> dict[str, pd.DataFrame]:
    """AUROCs by class and contestant from the committed records, per protocol, of the data sets that are pooled."""
    runs = rows[rows.dataset.isin(("mnist", "fashion_mnist"))]
    return {name: board["block_values"](runs[runs.protocol == name]) for name in board["PROTOCOLS"]}


@pytest.fixture(scope="module")
def pairs(board, committed) -> pd.DataFrame:
    return pd.concat([board["duels"](values).assign(protocol=name) for name, values in committed.items()])


@pytest.mark.prose
def test_no_network_is_ahead_of_pixel_neighbours_or_lof_beyond_chance(pairs):
    theirs = pairs[pairs.baseline.isin(["k-NN", "LOF"]) & (pairs.p < 0.05)]
    assert len(theirs) > 4, "the page says that several are behind"
    assert (theirs.gain < 0).all(), "the sentence after the table of pairs no longer holds"


@pytest.mark.prose
def test_at_another_share_the_auroc_stays_and_f1_does_not(board, rows):
    simo = rows[rows.protocol == "simo"]
    tables = {name: board["share_table"](simo[simo.dataset == name]).set_index("") for name in board["SHORT"]}
    assert list(tables) == ["mnist", "fashion_mnist", "cifar10_jpeg"]
    for table in tables.values():
        floor, table = table.loc["all normal"], table.drop("all normal")
        floor, table = floor.drop("classes").astype(float), table.drop(columns="classes").astype(float)
        aurocs = table.filter(like="AUROC")
        assert (aurocs.max(axis=1) - aurocs.min(axis=1)).between(0, 1, inclusive="neither").all()
        gain = table["best, 10"] - floor["best, 10"]
        assert (gain.max() < 4) & (gain.min() < 1)
    digits = tables["mnist"].loc[["LOF", "CRBND: depth 2"]].drop(columns="classes").diff().iloc[1]
    assert 2 < -digits["best, 10"] < 3
    assert -digits["best, 50"] == pytest.approx(19, abs=0.5)
    lost = pd.concat([t[f"best, {s}"] - t[f"5 %, {s}"] for t in tables.values() for s in (10, 50)]).dropna()
    assert lost.round().between(1, 3).all()


@pytest.mark.prose
def test_ranks_tell_apart_the_last_from_the_first_and_less_than_the_pairs_do(board, committed, pairs):
    for protocol, values in committed.items():
        common = board["common_blocks"](values)
        place, bar = statistics.mean_ranks(common), statistics.critical_difference(*common.shape[::-1])
        mine = pairs[(pairs.protocol == protocol) & pairs.network.isin(place.index)]
        by_rank = abs(place[mine.network].to_numpy() - place[mine.baseline].to_numpy()) > bar
        assert 0 < by_rank.sum() < (mine.p < 0.05).sum()
        if protocol != "miso":  # where one class is normal
            told = set(place.index[place > place.iloc[0] + bar])
            assert set(place.index[-2:]) == {"ICS: CAE", "CRBND: depth 2"} < told
            assert told - {"ICS: CAE", "CRBND: depth 2", "NLN: AE, error"} == {"OCSVM", "ADe-GAN: R1, l2"}


@pytest.mark.prose
def test_with_nine_normal_classes_nln_is_ahead_of_the_other_baselines(pairs):
    others = pairs[(pairs.protocol == "miso") & ~pairs.baseline.isin(["k-NN", "LOF"])].set_index(
        ["network", "baseline"]
    )
    codes = others.loc["NLN: AE, codes"]
    assert (codes.p < 0.05).all()
    for name in ("NLN: AE", "NLN: AE-con"):
        assert (others.loc[name].gain > 0).all()
        assert (codes.gain > others.loc[name].gain).all()  # the widest gaps


@pytest.mark.parametrize(("dataset", "behind"), [("mnist", 8), ("fashion_mnist", 7)])
@pytest.mark.prose
def test_with_nine_normal_classes_ics_is_behind_nln_and_crbnd_little_better_than_a_coin_toss(
    committed, dataset, behind
):
    values = committed["miso"].loc[dataset]
    assert (values[["ICS", "ICS: CLS", "CRBND: depth 2", "NLN: AE", "ADe-GAN: R1, l2"]].count() == 10).all()
    place = values.rank(axis=1, ascending=False).mean()
    assert place[["NLN: AE", "NLN: AE-con"]].max() < place["ICS"]
    for baseline in ("k-NN", "LOF"):
        assert (values["ICS"] < values[baseline]).sum() == behind
    gain = values["ICS"] - values["ICS: CLS"]
    assert 0.015 < gain.mean() < 0.025
    assert gain.mean() < gain.std() / np.sqrt(10) * 2
    assert 0.5 < values["CRBND: depth 2"].mean() < 0.56


@pytest.mark.prose
def test_with_one_normal_digit_ics_is_first_of_the_networks_by_its_mean(board, committed):
    for protocol in ("one_class", "simo"):
        means = committed[protocol].loc["mnist"].drop(columns=board["BASELINES"]).mean()
        assert means.idxmax() == "ICS"


@pytest.mark.prose
def test_crbnd_calls_classes_normal_that_it_never_saw(committed):
    digits, garments = (committed["miso"].loc[name]["CRBND: depth 2"] for name in ("mnist", "fashion_mnist"))
    assert min(digits["1"], garments["sneaker"]) > 0.85
    assert max(digits.drop("1").max(), garments.drop("sneaker").max()) < 0.8
    assert (digits[["2", "3", "5"]] < 1 / 3).all()
    assert (digits < 0.5).sum() == (garments < 0.5).sum() == 5
    found = [r for r in store.read("crbnd", NOTEBOOKS.parent / "results") if r.parameters["protocol"] == "miso"]
    found = [r for r in found if r.parameters["depth"] == 2]
    own = [x.value for r in found for x in r.results if x.metric == "auroc;novel=own negatives"]
    assert len(own) == 20
    assert min(own) > 0.9998


@pytest.mark.prose
def test_codes_against_pixels(pairs):
    codes = pairs[(pairs.network == "NLN: AE, codes") & (pairs.baseline == "k-NN")].set_index("protocol")
    assert (codes.n == 20).all()
    assert (codes.gain[["one_class", "simo"]].abs() < 0.5).all()
    assert codes.gain.miso == pytest.approx(3, abs=0.5)
    assert codes.won.miso == 15
    assert codes.p.miso > 0.05


def test_by_one_rule_the_codes_lead_on_mnist_alone_where_nine_classes_are_normal(board):
    table = board["by_one_rule"](store.read("nln", NOTEBOOKS.parent / "results"))
    gains = table.map(lambda words: float(words.split()[0]))
    counts = {words.split("/")[1] for words in table.to_numpy().ravel()}
    assert counts == {"10)"}
    miso = gains.loc[board["PROTOCOLS"]["miso"]]
    assert miso.loc["MNIST"].between(4, 5).all()
    assert miso.loc["Fashion-MNIST"].between(-1, 0).all()
    others = gains.drop(index=board["PROTOCOLS"]["miso"])
    assert len(others) == 4
    assert (others.abs() < 1).all(axis=None)
    assert board["by_one_rule"]([]).empty


@pytest.mark.prose
def test_codes_alone_do_better_than_nln_on_both_data_sets_under_every_protocol(committed):
    for values in committed.values():
        both = values[["NLN: AE, codes", "NLN: AE", "NLN: AE, error"]].groupby("dataset").mean()
        assert len(both) == 2
        assert (both["NLN: AE, codes"] > both["NLN: AE"]).all()
        assert (both["NLN: AE"] > both["NLN: AE, error"]).all()


@pytest.mark.prose
def test_under_one_class_of_4000_all_four_papers_meet(board, committed):
    values = committed["one_class"]
    for dataset, best in (("mnist", "ICS"), ("fashion_mnist", "NLN: AE")):
        here = values.loc[[dataset]]
        assert (here.notna().sum()[["ICS", "NLN: AE", "CRBND: depth 2", "ADe-GAN: R1, l2"]] == 10).all()
        ranks = statistics.mean_ranks(board["common_blocks"](here))
        networks = [name for name in ranks.index if name not in board["BASELINES"]]
        assert networks[0] == best or networks[0].startswith(f"{best}, ")
        assert "CRBND: depth 2" in ranks.index[-2:]
        assert ranks["NLN: AE"] < ranks["NLN: AE, error"]
        assert ranks["ADe-GAN: R1, l2"] > ranks["ADe-GAN: error, l2"]


def test_on_natural_photographs_all_baselines_are_little_better_than_chance(board):
    every = store.read("leaderboard", NOTEBOOKS.parent / "results")
    rows = board["collected"]([r for r in every if r.dataset == "cifar10_jpeg"])
    means = rows.groupby(["protocol", "name", "class_name"]).auroc.mean().groupby(level=[0, 1]).mean()
    assert len(means) >= 10
    assert means.between(0.5, 0.61).all()


@pytest.mark.prose
def test_the_best_baseline_is_pixel_neighbours_or_lof(board, committed):
    for values in committed.values():
        ranks = statistics.mean_ranks(board["common_blocks"](values))
        assert next(name for name in ranks.index if name in board["BASELINES"]) in ("LOF", "k-NN")


# --- pairs ---------------------------------------------------------------------------------------------------------


def test_a_duel_is_fought_where_both_were_run(board):
    ten = np.arange(10) / 100
    cells = {"PCA": 0.5 + ten, "ICS": 0.6 + 2 * ten, "LOF": [0.9] * 4 + [np.nan] * 6}
    values = board["block_values"](rows_of(pd.DataFrame(cells, index=list("0123456789"))))
    (row,) = board["duels"](values).to_dict("records")  # four classes with LOF are too few
    assert (row["network"], row["baseline"], row["won"], row["n"]) == ("ICS", "PCA", 10, 10)
    assert row["gain"] == pytest.approx(14.5)
    assert row["p"] == pytest.approx(2 / 2**10)  # all ten signs alike, two-sided
    assert board["duel_table"](values).loc["ICS", "PCA"] == "+14.5* (10/10)"


def test_many_pairs_need_stronger_evidence(board):
    ten = np.arange(10) / 100
    networks = [name for name in board["NAMES"] if name not in board["BASELINES"]]
    cells = {name: 0.5 + ten for name in board["BASELINES"]} | {name: 0.6 + 2 * ten for name in networks}
    values = board["block_values"](rows_of(pd.DataFrame(cells, index=list("0123456789"))))
    found = board["duels"](values)
    assert len(found) == len(networks) * 5
    assert found.p.min() == pytest.approx(min(1, len(found) * 2 / 2**10))
