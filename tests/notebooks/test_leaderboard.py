"""The leaderboard: its baselines against PyOD, and its ranks and tables on records made up by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from pyod.models.knn import KNN
from pyod.models.lof import LOF

from novelty_utils import detectors
from novelty_utils.data.datasets import Dataset
from novelty_utils.errors import InputError
from novelty_utils.params import RunParameters
from novelty_utils.records import store
from novelty_utils.records.store import Record, Result

pytestmark = pytest.mark.slow

BASELINES = detectors.load("leaderboard")
DATA = Dataset("mnist", torch.zeros(5, 1, 2, 2), torch.zeros(5), torch.zeros(5), tuple("0123456789"), "abc")


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


@pytest.mark.parametrize("name", ["LOF", "k-NN"])
@pytest.mark.filterwarnings("error")
def test_fewer_images_than_neighbours_are_all_neighbours(name):
    X = np.random.default_rng(0).normal(size=(18, 4))
    many, all_of_them = (BASELINES.BASELINES[name](neighbours=k) for k in (10**6, 17 if name == "LOF" else 18))
    for model in (many, all_of_them):
        model.fit_rows(X)
    np.testing.assert_array_equal(many.score_rows(X + 1), all_of_them.score_rows(X + 1))


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


def test_of_a_rival_only_the_latest_settings_count(board):
    def svdd(value, label, **revision):
        cost = {"Deep SVDD": {"seconds": 1.0, "scoring_seconds": 0.1, "scored_images": 100} | revision}
        return record("rivals", label=label, found=[auroc("Deep SVDD", value)], training=cost)

    earlier, later = ([svdd(v, str(k), **how) for k in range(10)] for v, how in ((0.5, {}), (0.7, {"revision": 2})))
    for every in ([*earlier, *later], [*later, *earlier], [*earlier, *later, baseline()]):
        found = board["collected"](every)
        assert set(found[found.name == "Deep SVDD"].auroc) == {0.7}
    assert "Deep SVDD" not in set(board["collected"]([*earlier, *later[:9]]).name)  # it waits for all ten
    assert set(board["collected"](earlier).auroc) == {0.5}


def test_outlier_share_counts_as_simo_and_a_run_of_both_once(board):
    made = [baseline(protocol="outlier_share"), baseline(protocol="simo")]
    assert board["collected"](made).protocol.tolist() == ["simo"]
    assert not len(board["collected"]([baseline(protocol="inlier_categories")]))


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
    about = {"dataset": "mnist", "protocol": "simo", "seed": 0, "dead": False, "train": 1.0, "ms": 1.0}
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


def test_contestants_without_runs_are_listed_as_not_run(board, monkeypatch):
    monkeypatch.setitem(board["LETTER"], "A computer", "Z")
    cells = {"PCA": [0.9, 0.7, 0.9, 0.7, 0.8], "LOF": [0.8, 0.6, 0.8, 0.6, 0.7]}
    table, _ = board["standings"](rows_of(pd.DataFrame(cells, index=list("01234"))))
    assert sorted(table.contestant) == sorted(board["NAMES"])
    by = table.set_index("contestant")
    assert by.index[:2].tolist() == ["PCA", "LOF"]
    assert by.AUROC[2:].isna().all()
    assert by.loc["PCA", "rank"] == 1
    # a standard deviation of ten points, Student's t with four degrees of freedom
    assert by.loc["PCA", "±"] == pytest.approx(2.776 * 10 / np.sqrt(5), abs=0.01)


# --- dead trainings ------------------------------------------------------------------------------------------------


def crbnd(label, value, dead) -> Record:
    """A record of CRBND's network with the narrow code whose autoencoder died, or did not."""
    judged = {"error": 0.1, "constant_error": 0.1, "spread": 0.0, "collapsed": dead}
    cost = {name: {"seconds": 1.0, "collapse": judged} for name in ("A", "CRBND")}
    found = [auroc("CRBND", value), auroc("CRBND", value, "auroc;share=50")]
    about = {"lam": 0.5, "x_d": "rec", "x_prime": "clean", "blur": 7, "noise": 0.25, "side": 32}
    return record("crbnd", label=label, found=found, training=cost, **about, arch="dense64", depth=2)


@pytest.fixture
def planted(board) -> pd.DataFrame:
    """The rows of ten digits, with PCA at 0.9 on each and a network at 0.95 that died on the 5, at 0.5."""
    made = [crbnd(str(i), 0.5 if i == 5 else 0.95, dead=i == 5) for i in range(10)]
    return board["collected"]([*made, *(baseline(label=str(i)) for i in range(10))])


def test_a_dead_training_is_listed_and_enters_no_mean(board, planted, monkeypatch):
    name, digits = "CRBND: dense64", planted[planted.name == "CRBND: dense64"]
    assert len(digits) == 10
    assert digits[digits.dead].class_name.tolist() == ["5"]
    assert not planted[planted.name == "PCA"].dead.any()
    values = board["block_values"](planted)
    assert values[name].isna().sum() == 1
    assert values[name].mean() == pytest.approx(0.95)
    assert len(board["common_blocks"](values)) == 9
    for word in planted.hardware.unique():
        monkeypatch.setitem(board["LETTER"], word, "Z")
    table, common = board["standings"](planted)
    row = table.set_index("contestant").loc[name]
    assert (row.AUROC, row["rank"], len(common)) == (pytest.approx(95), 1, 9)
    assert (row.classes, row.runs) == ("9 of 10 trained", "9")
    (share,) = board["share_table"](planted)[lambda t: t[""] == name].to_dict("records")
    assert (share["AUROC, 50"], share["classes"]) == (pytest.approx(95), "9 of 10 trained")


def test_a_dead_training_enters_no_pair(board, planted):
    (row,) = board["duels"](board["block_values"](planted)).to_dict("records")
    assert (row["method"], row["won"], row["n"]) == ("CRBND: dense64", 9, 9)
    assert row["gain"] == pytest.approx(5)


def test_a_dead_training_is_drawn_as_a_cross_and_moves_no_bar(board, planted):
    figure, axis = board["plt"].subplots()
    board["class_panel"](axis, board["block_values"](planted), "", planted[planted.dead])
    drawn = {line.get_marker(): list(line.get_xdata()) for line in axis.lines if len(line.get_xdata())}
    assert drawn["x"] == pytest.approx([50])
    assert drawn["|"] == pytest.approx([95])  # the best, drawn last
    board["plt"].close(figure)


def test_a_contestant_that_died_everywhere_is_listed_without_a_mean(board, monkeypatch):
    rows = rows_of(pd.DataFrame({"PCA": [0.9, 0.8], "LOF": [0.5, 0.5]}, index=list("01")))
    rows.loc[rows.name == "LOF", "dead"] = True
    monkeypatch.setitem(board["LETTER"], "A computer", "Z")
    table, _ = board["standings"](rows)
    row = table.set_index("contestant").loc["LOF"]
    assert np.isnan(row.AUROC)
    assert row.classes == "0 of 2 trained"


def test_a_living_run_stands_for_a_dead_one_of_the_same_seed(board):
    for made in ([crbnd("5", 0.5, True), crbnd("5", 0.9, False)], [crbnd("5", 0.9, False), crbnd("5", 0.5, True)]):
        assert board["collected"](made).auroc.tolist() == [0.9]


# --- pairs ---------------------------------------------------------------------------------------------------------


def test_a_duel_is_fought_where_both_were_run(board):
    ten = np.arange(10) / 100
    cells = {"PCA": 0.5 + ten, "ICS": 0.6 + 2 * ten, "LOF": [0.9] * 4 + [np.nan] * 6}
    values = board["block_values"](rows_of(pd.DataFrame(cells, index=list("0123456789"))))
    (row,) = board["duels"](values).to_dict("records")  # four classes with LOF are too few
    assert (row["method"], row["baseline"], row["won"], row["n"]) == ("ICS", "PCA", 10, 10)
    assert row["gain"] == pytest.approx(14.5)
    assert row["p"] == pytest.approx(2 / 2**10)  # all ten signs alike, two-sided
    assert board["duel_table"](values).loc["ICS", "PCA"] == "+14.5* (10/10)"


def against_all(board, names) -> pd.DataFrame:
    """Values on ten digits of which all these contestants beat all baselines on all ten."""
    ten = np.arange(10) / 100
    cells = {name: 0.5 + ten for name in board["BASELINES"]} | {name: 0.6 + 2 * ten for name in names}
    return board["block_values"](rows_of(pd.DataFrame(cells, index=list("0123456789"))))


def test_many_pairs_need_stronger_evidence(board):
    networks = board["FAMILIES"]["the four papers"]
    found = board["duels"](against_all(board, networks))
    assert len(found) == len(networks) * 5
    assert found.p.min() == pytest.approx(min(1, len(found) * 2 / 2**10))


def test_rivals_neither_fight_among_the_papers_methods_nor_cost_them_a_star(board):
    four, others = board["FAMILIES"].values()
    assert not {*four} & {*others}
    assert {*four, *others, *board["BASELINES"]} == {one.name for one in board["CONTESTANTS"]}
    assert {"Mahalanobis", "REAPER", "Outlier Pursuit", "ImageNet features"} < {*others}
    alone, among = (board["duels"](against_all(board, names)) for names in (["ICS"], ["ICS", *others]))
    assert set(among.method) == {"ICS"}
    assert among.p.tolist() == alone.p.tolist()
    assert (among.p < 0.05).all()
    theirs = board["duels"](against_all(board, ["ICS", *others]), "rivals and ImageNet features")
    assert set(theirs.method) == set(others)


def test_the_verdict_follows_the_stars(board):
    better = against_all(board, ["ICS"])
    say = board["verdict"]({"simo": better})
    assert say.startswith("With a star are ahead: ICS of LOF (single inlier")
    assert "ICS of k-NN" in say
    assert "is not shown" in board["verdict"]({"simo": better.rename(columns={"ICS": "LOF", "LOF": "ICS"})})
    few = better.join(
        pd.DataFrame({name: better.ICS for name in board["FAMILIES"]["the four papers"] if name != "ICS"})
    )
    say = board["verdict"]({"simo": few})  # as good, but among so many pairs ten digits earn no star
    assert "is not shown" in say
    assert "ICS against k-NN on MNIST, single inlier, multiple outliers: 10 of 10 (p = 0.002)" in say
    assert "is not shown" in board["verdict"]({})
