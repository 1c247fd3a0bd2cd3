"""The leaderboard: its baselines against PyOD, and its ranks and tables on records made up by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from notebook_cells import NOTEBOOKS, names_after
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from scipy import stats

from novelty_utils import records
from novelty_utils.data import Dataset
from novelty_utils.params import RunParameters
from novelty_utils.records import Record, Result

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
    for start in ("def block_values", "def hardware_key", "def told_apart"):
        (source,) = (source for source in sources if source.startswith(start))
        exec(compile(source.partition("\ntable = ")[0], "notebook", "exec"), names)
    return names


def record(paper="leaderboard", tier="demo", label="3", seed=0, found=(), training=None, **parameters) -> Record:
    """A record on MNIST with these results, the parameters as they are."""
    asked = {"dataset": "mnist", "class_name": label, "tier": tier, "seed": seed, "device": "cpu", "results": "r"}
    made = records.make(paper, RunParameters.check(asked), DATA, label, list(found), training or {}, 1.0, 1)
    return made.model_copy(update={"parameters": made.parameters | {"protocol": "simo"} | parameters})


def auroc(method, value, metric="auroc") -> Result:
    return Result(method=method, metric=metric, value=value)


def baseline(name="PCA", value=0.9, **more) -> Record:
    cost = {name: {"seconds": 2.0, "scoring_seconds": 0.5, "scored_images": 1000}}
    return record(found=[auroc(name, value)], training=cost, **more)


# --- baselines -----------------------------------------------------------------------------------------------------


def test_a_run_records_five_baselines_with_times_and_shares(board):
    (read,) = records.read("leaderboard", board["p"].results)
    assert {r.method for r in read.results} == set(board["BASELINES"]) == set(read.training)
    for name in board["BASELINES"]:
        metrics_ = {r.metric for r in read.results if r.method == name}
        assert {"auroc", "auroc;share=10", "f1;rule=best;share=50", "f1;rule=held_out;share=50"} <= metrics_
        assert read.training[name]["scored_images"] == 500
        assert read.training[name]["scoring_seconds"] > 0
    assert all(0.85 < r.value < 1 for r in read.results if r.metric == "auroc")


@pytest.mark.parametrize(("name", "peer"), [("k-NN", KNN(n_neighbors=5)), ("LOF", LOF(novelty=True))])
def test_a_baseline_scores_as_pyod_does(board, name, peer):
    X, x = (np.random.default_rng(i).normal(size=(n, 4)) for i, n in ((0, 80), (1, 30)))
    mine, theirs = board["BASELINES"][name](X, 0)(x), peer.fit(X).decision_function(x)
    np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_pca_measures_the_distance_to_the_plane(board):
    X = np.random.default_rng(0).normal(size=(50, 3)) * [3, 2, 0]
    score = board["fit_pca"](X, 0, components=2)
    np.testing.assert_allclose(score(np.array([[1.0, 1, 0], [1, 1, 2]])), [0, 4], atol=1e-9)


def test_many_images_are_thinned_out_by_the_seed(board):
    X = np.arange(2 * board["MOST"])[:, None]
    once = board["some"](X, 1)
    assert len(np.unique(once)) == board["MOST"]
    assert np.array_equal(once, board["some"](X, 1))
    assert not np.array_equal(once, board["some"](X, 2))
    assert len(board["some"](X[:10], 1)) == 10


# --- what is read from records -------------------------------------------------------------------------------------


def test_a_row_has_the_score_and_what_it_cost(board):
    (row,) = board["collected"]([baseline()]).to_dict("records")
    assert (row["name"], row["protocol"], row["auroc"]) == ("PCA", "simo", 0.9)
    assert (row["train"], row["ms"]) == (2.0, 0.5)


def test_a_smoke_record_is_refused(board):
    assert len(board["collected"]([baseline(), baseline(tier="smoke", label="4")])) == 1
    assert not len(board["collected"]([baseline(tier="smoke")]))


def test_tiers_are_never_mixed(board):
    every = [baseline(label=str(i)) for i in range(3)] + [baseline(tier="paper", label="0")]
    assert set(board["collected"](every).tier) == {"demo"}


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


def test_every_contestant_of_the_papers_is_found_in_the_committed_records(board):
    root = records.Path(records.__file__).parents[1] / "results"
    every = [r for paper in ("ics", "nln", "crbnd", "ade_gan") for r in records.read(paper, root)]
    found = set(board["collected"](every).name)
    assert found == {one.name for one in board["CONTESTANTS"] if one.paper != "leaderboard"}


# --- ranks ---------------------------------------------------------------------------------------------------------


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    """One run per cell of a table class × contestant that is not NaN."""
    long = table.rename_axis("class_name").reset_index().melt("class_name", var_name="name", value_name="auroc")
    about = {"dataset": "mnist", "protocol": "simo", "tier": "demo", "seed": 0, "train": 1.0, "ms": 1.0}
    return long.dropna().assign(**about, hardware="A computer")


def test_mean_ranks_by_hand(board):
    values = pd.DataFrame({"PCA": [0.9, 0.8, 0.7], "LOF": [0.8, 0.8, 0.6], "ICS": [0.1, 0.2, 0.9]})
    # ranks 1 2 3, 1.5 1.5 3 and 2 3 1
    assert board["mean_ranks"](values).to_dict() == pytest.approx({"PCA": 1.5, "LOF": 6.5 / 3, "ICS": 7 / 3})


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_printed_q(board, k, q):
    n = 14
    assert board["critical_difference"](k, n) == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * n)), abs=1e-3)


def test_friedman_agrees_with_the_formula_of_the_page(board):
    values = pd.DataFrame(np.random.default_rng(0).random((12, 4)))
    n, k = values.shape
    ranks = board["mean_ranks"](values)
    chi2 = 12 * n / (k * (k + 1)) * ((ranks - (k + 1) / 2) ** 2).sum()
    assert board["friedman"](values) == pytest.approx(stats.chi2.sf(chi2, k - 1))
    assert np.isnan(board["friedman"](values[[0, 1]]))
    assert np.isnan(board["friedman"](values[:1]))


def test_only_blocks_that_all_ranked_contestants_have_are_ranked(board):
    nan = np.nan
    cells = {"PCA": [0.1, 0.2, 0.3, 0.4], "LOF": [0.2, 0.1, 0.4, nan], "ICS": [0.9, nan, nan, nan]}
    values = board["block_values"](rows_of(pd.DataFrame(cells, index=list("0123"))))
    common = board["common_blocks"](values)
    assert set(common.columns) == {"PCA", "LOF"}  # a quarter of the blocks is too few to be ranked
    assert common.index.get_level_values(1).tolist() == ["0", "1", "2"]


def test_seeds_are_averaged_before_they_are_ranked(board):
    rows = rows_of(pd.DataFrame({"PCA": [0.4], "LOF": [0.5]}, index=["0"]))
    rows = pd.concat([rows, rows.assign(seed=1, auroc=[0.8, 0.6])])
    assert board["block_values"](rows).iloc[0].to_dict() == pytest.approx({"PCA": 0.6, "LOF": 0.55})


def test_contestants_without_runs_are_listed_as_not_run(board):
    table, _ = board["standings"](rows_of(pd.DataFrame({"PCA": [0.9, 0.7], "LOF": [0.8, 0.6]}, index=list("01"))))
    assert sorted(table.contestant) == sorted(board["NAMES"])
    by = table.set_index("contestant")
    assert by.index[:2].tolist() == ["PCA", "LOF"]
    assert (by.tier[2:] == "not run yet").all()
    assert by.AUROC[2:].isna().all()
    assert by.loc["PCA", "rank"] == 1
    # Student's t with one degree of freedom: 12.706 standard errors
    assert by.loc["PCA", "±"] == pytest.approx(12.706 * 10, abs=0.1)


# --- what the prose says of the committed records ------------------------------------------------------------------


@pytest.fixture(scope="module")
def committed(board) -> dict:
    """The notebook's names, its table of runs from the committed records."""
    papers = ("leaderboard", "ics", "nln", "crbnd", "ade_gan")
    every = [record for paper in papers for record in records.read(paper, NOTEBOOKS.parent / "results")]
    cells = json.loads((NOTEBOOKS / "leaderboard.ipynb").read_text(encoding="utf-8"))["cells"]
    (source,) = ("".join(c["source"]) for c in cells if "".join(c["source"]).startswith("def leaders"))
    names = board | {"runs": board["collected"](every)}
    exec(compile(source.partition("\ntable = ")[0], "notebook", "exec"), names)
    return names


@pytest.fixture(scope="module")
def leaders(committed) -> pd.DataFrame:
    """The best baseline and the best network of every table."""
    names = committed
    found = [names["leaders"](protocol, data) for protocol in names["PROTOCOLS"] for data in names["SHORT"]]
    return pd.DataFrame([row for row in found if row])


def test_the_best_baseline_and_the_best_network_are_told_apart_in_no_table(leaders):
    assert len(leaders) >= 6  # three protocols on two data sets
    assert set(leaders.apart) == {"no"}, "the sentence after the table of the best no longer holds"


def test_a_network_is_told_apart_from_baselines_beyond_the_critical_difference(board):
    """Six blocks: PCA always first, LOF and ICS change places, OCSVM always last; k = 4, so CD is 1.91."""
    blocks = [[0.9, 0.8, 0.7, 0.1], [0.9, 0.7, 0.8, 0.1]] * 3
    common = pd.DataFrame(blocks, columns=["PCA", "LOF", "ICS", "OCSVM"])
    assert board["told_apart"](common) == [{"network": "ICS", "better than it": "–", "worse than it": "–"}]
    common = pd.concat([common] * 4)  # CD is 0.96
    assert board["told_apart"](common) == [{"network": "ICS", "better than it": "PCA", "worse than it": "OCSVM"}]


def test_the_best_baseline_is_pixel_neighbours_or_lof(leaders):
    assert set(leaders["best baseline"]) <= {"LOF", "k-NN"}
