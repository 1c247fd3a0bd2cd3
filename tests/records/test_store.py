"""Records: found again by what was asked for, written whole, read strictly."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from pydantic import Field

from novelty_utils import __version__
from novelty_utils.data.datasets import Dataset
from novelty_utils.errors import InputError
from novelty_utils.params import RunParameters
from novelty_utils.records import schema, store
from novelty_utils.records.store import Record, Result

RESULTS = [
    Result(method="PCA", metric="auroc", value=0.9, low=0.8, high=1.0),
    Result(method="ICS", metric="auroc", value=0.95, note="a note"),
]
DATA = Dataset(
    "digits", torch.zeros(5, 1, 2, 2, dtype=torch.uint8), torch.zeros(5), torch.zeros(5), tuple("0123456789"), "abc"
)
ROOT = Path(store.__file__).parents[2]
ASKED = {
    "dataset": "digits", "class_name": "3", "tier": "smoke", "seed": 0, "device": "cpu", "results": "r",
    "methods": "PCA,ICS", "rho": 10.0,
}  # fmt: skip


class Parameters(RunParameters):
    methods: str = Field(description="methods")
    rho: float = Field(description="a weight")


def make(recorded="3", found=RESULTS, checksum="abc", **changes) -> Record:
    data = Dataset(DATA.name, DATA.images, DATA.labels, DATA.is_test, DATA.classes, checksum)
    training = {"CAE": {"terms": {"rec": 0.1}, "images": 100, "seconds": 1.5}}
    parameters = Parameters.check(ASKED | changes)
    return store.make("ics", parameters, data, recorded, found, training, 12.345, 200)


@pytest.fixture(scope="module")
def record() -> Record:
    return make()


# --- where a record lives ------------------------------------------------------------------------------------------


def test_the_path_tells_paper_dataset_class_tier_and_seed(record):
    assert record.path("r").parts[:3] == ("r", "ics", "digits")
    assert record.path("r").name.startswith("3-smoke-s0-")


@pytest.mark.parametrize("same", [{"device": "auto"}, {"results": "elsewhere"}, {"class_name": "all"}])
def test_where_and_how_a_run_was_started_does_not_change_its_place(record, same):
    assert make(**same).path("r") == record.path("r")


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"rho": 5.0}, {"tier": "demo"}, {"recorded": "4"}, {"checksum": "abd"}, {"methods": "PCA"}],
)
def test_another_experiment_has_another_place(record, other):
    assert make(**other).path("r") != record.path("r")


def test_neither_the_results_nor_the_order_of_the_parameters_change_the_place(record):
    turned = record.model_copy(update={"parameters": dict(reversed(record.parameters.items())), "results": []})
    assert turned.path("r") == record.path("r")


def test_another_number_of_threads_is_another_experiment_on_a_processor_and_none_on_a_gpu(record):
    places = {
        (threads, gpu): record.model_copy(update={"machine": record.machine | {"threads": threads, "gpu": gpu}}).path(
            "r"
        )
        for threads in (1, 2, 4)
        for gpu in (None, "H200")
    }
    assert len(set(places.values())) == 3
    assert places[1, None] == places[1, "H200"] == places[4, "H200"]


def test_names_that_cannot_stand_in_a_path_are_made_harmless(record):
    odd = record.model_copy(update={"dataset": "folder:/a/../b c", "class_name": "../x/.y"})
    assert odd.path("r").relative_to("r/ics").parts[0] == "folder--a----b-c"
    assert len(odd.path("r").relative_to("r").parts) == 3
    twin = record.model_copy(update={"dataset": "folder:/a/../b c", "class_name": "---x/-y"})
    assert twin.path("r") != odd.path("r")


@pytest.mark.parametrize("letter", ["x", "ü", "猫"])
def test_names_that_no_file_system_takes_are_shortened_and_told_apart(tmp_path, letter):
    """Found only when a trained network was to be recorded."""
    long = [make(recorded=letter * length) for length in (249, 250)]
    long = [one.model_copy(update={"dataset": f"folder:/{letter * 200}/{letter * 200}"}) for one in long]
    for one in long:
        one.parameters["dataset"] = one.dataset
    assert [store.write(one, tmp_path).is_file() for one in long] == [True, True]
    assert store.read("ics", tmp_path) == sorted(long, key=lambda one: one.path(tmp_path))
    fits = make(recorded="x" * 200).path("r").name
    assert fits.startswith("x" * 200 + "-smoke-s0-")  # nobody's records move


# --- what it says --------------------------------------------------------------------------------------------------


def test_a_record_says_what_ran_on_which_data_with_which_code(record):
    asked = {"dataset": "digits", "tier": "smoke", "seed": 0, "methods": "PCA,ICS", "rho": 10.0}
    assert record.parameters == asked | schema.ADDED_LATER["ics"]
    assert record.data == {"name": "digits", "checksum": "abc", "images": 5}
    assert torch.__version__.startswith(record.machine["torch"])
    assert record.code["version"] == __version__
    assert record.seconds == pytest.approx(12.345, abs=0.01)
    assert str(Path(store.__file__).parents[2]) not in record.model_dump_json()  # no paths of this machine


def test_the_stopwatch_runs():
    watch = store.RunMeter()
    first = watch.seconds()
    assert 0 <= first <= watch.seconds() < 60
    assert watch.peak_memory_mb() > 10


# --- writing -------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path, record):
    path = store.write(record, tmp_path)
    assert path == record.path(tmp_path)
    assert store.read("ics", tmp_path) == [record]
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_a_repeated_run_leaves_its_record_untouched(tmp_path, record):
    path = store.write(record, tmp_path)
    before = path.read_bytes()
    later = record.model_copy(update={"created": "2100-01-01T00:00:00+00:00", "seconds": 99.0})
    assert store.write(later, tmp_path) == path
    assert path.read_bytes() == before


def test_a_repeated_run_with_a_value_that_could_not_be_computed_as_well(tmp_path):
    lacking = make(found=[Result(method="PCA", metric="auroc", value=float("nan"), low=float("nan"))])
    path = store.write(lacking, tmp_path)
    before = path.read_bytes()
    later = lacking.model_copy(update={"seconds": 99.0})
    store.write(later, tmp_path)
    assert path.read_bytes() == before
    assert store.read("ics", tmp_path)[0].results[0].value is None


def test_other_results_replace_the_record(tmp_path, record):
    store.write(record, tmp_path)
    other = record.model_copy(update={"results": [Result(method="PCA", metric="auroc", value=0.5)]})
    store.write(other, tmp_path)
    assert store.read("ics", tmp_path) == [other]


def test_an_interrupted_write_leaves_the_old_record(tmp_path, record, monkeypatch):
    store.write(record, tmp_path)

    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.write(record.model_copy(update={"results": []}), tmp_path)
    assert store.read("ics", tmp_path) == [record]
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path, record):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write") as refused:
        store.write(record, tmp_path / "file")
    assert "\n" not in str(refused.value)


# --- reading -------------------------------------------------------------------------------------------------------


def test_folders_are_read_together_each_file_once_and_in_a_fixed_order(tmp_path, record):
    others = [make(seed=2), make(seed=1)]
    store.write(record, tmp_path / "a")
    for other in others:
        store.write(other, tmp_path / "b")
    found = store.read("ics", tmp_path / "a", tmp_path / "b", tmp_path / "a", tmp_path / "missing")
    assert [r.seed for r in found] == [0, 1, 2]
    assert store.read("nln", tmp_path / "a") == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b'{"version": 1}', b'{"version": "new"}', b"\xff\xfe", b"<<<<<<< HEAD\n{}\n"],
)
def test_a_file_that_is_no_record_is_named_in_one_line(tmp_path, record, content):
    path = store.write(record, tmp_path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is not a record of a run.*: restore it from git or delete it$") as refused:
        store.read("ics", tmp_path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


WRONG = [
    {"tier": "papre"},
    {"seed": -1},
    {"seconds": float("inf")},
    {"machine": {"cpu": "x", "cores": 2, "threads": None, "gpu": None}},
    {"training": {"ICS": {"seconds": "long"}}},
    {"results": [{"method": "ICS", "metric": "auroc", "value": 95.0}]},
    {"results": [{"method": "ICS", "metric": "f1;rule=best", "value": 0.5, "high": 1.2}]},
    {"results": [{"method": "ICS", "metric": "length", "value": float("inf")}]},
    {"results": [{"method": "ICS", "metric": "bacc_tuned_on_test", "value": 95.0}]},
    {"results": [{"method": "NLN", "metric": "pixel_auroc", "value": 95.0, "note": "alpha=0"}]},
    {"results": [{"method": "ICS", "metric": "auroc", "value": 0.7, "low": 0.8, "high": 0.9}]},
    {"results": [{"method": "ICS", "metric": "auroc", "value": 0.7, "low": 0.6, "high": 0.69}]},
    {"results": [{"method": "ICS", "metric": "auroc", "value": 0.7, "high": 0.6}]},
    {"results": [3]},
    {"results": []},
    {"created": "yesterday"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_record_with_a_value_that_cannot_be_is_refused(tmp_path, record, wrong):
    path = store.write(record, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    with pytest.raises(InputError, match=rf"is not a record of a run \({next(iter(wrong))}.*: "):
        store.read("ics", tmp_path)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"dataset": "mnist"}, {"tier": "demo"}], ids=str)
def test_a_record_that_contradicts_its_parameters_is_refused(tmp_path, record, changed):
    path = store.write(record, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    name, value = next(iter(changed.items()))
    with pytest.raises(InputError, match=rf"\(.*{name} is {value!r}, and .* in the parameters\): restore"):
        store.read("ics", tmp_path)


def test_a_record_under_the_name_of_another_run_is_refused(tmp_path, record):
    path = store.write(record, tmp_path)
    text = path.read_text()
    for one, other in (('"class_name": "3"', '"class_name": "4"'), ('"rho": 10.0', '"rho": 5.0')):
        assert one in text
        path.write_text(text.replace(one, other))
        with pytest.raises(InputError, match=r"it lies where another run would"):
            store.read("ics", tmp_path)
    path.write_text(text)
    path = path.rename(path.with_stem(f"{path.stem}-again"))
    assert store.read("ics", tmp_path) == [record]
    shutil.copytree(tmp_path / "ics", tmp_path / "nln")
    with pytest.raises(InputError, match=r"it lies where another run would"):
        store.read("nln", tmp_path)
    path.parent.rename(tmp_path / "ics" / "mnist")
    with pytest.raises(InputError, match=r"it lies where another run would"):
        store.read("ics", tmp_path)


def test_a_value_may_lie_beside_its_interval_by_rounding():
    bound = 0.7 + 1e-12
    assert Result(method="ICS", metric="auroc", value=0.7, low=bound, high=bound).value < bound


@pytest.mark.parametrize(
    ("part", "key"), [("data", "checksum"), ("data", "name"), ("machine", "cpu"), ("code", "commit")]
)
def test_a_record_without_what_every_reader_needs_is_refused(tmp_path, record, part, key):
    path = store.write(record, tmp_path)
    content = json.loads(path.read_text())
    del content[part][key]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is not a record"):
        store.read("ics", tmp_path)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("nowhere"), lambda path: path.mkdir(), os.mkfifo])
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, record, make):
    make(store.write(record, tmp_path).with_name("other.json"))
    with pytest.raises(
        InputError, match=r"cannot be read \((No such file|Is a directory|it is a pipe).*\): (make|take) it"
    ):
        store.read(record.paper, tmp_path)


def test_a_record_may_be_a_link_into_a_store(tmp_path, record):
    path = store.write(record, tmp_path / "results")
    (tmp_path / "store").mkdir()
    path.rename(tmp_path / "store" / "5f2a.json")
    path.symlink_to(tmp_path / "store" / "5f2a.json")
    assert store.read("ics", tmp_path / "results") == [record]
    (tmp_path / "again").symlink_to(tmp_path / "results")
    assert store.read("ics", tmp_path / "results", tmp_path / "again") == [record]


def test_a_number_that_python_does_not_read_makes_no_record(tmp_path, record):
    path = store.write(record, tmp_path)
    path.write_text(path.read_text().replace('"seed": 0', f'"seed": {"9" * 5000}', 1))
    with pytest.raises(InputError, match=r"is not a record of a run"):
        store.read("ics", tmp_path)


def test_a_file_that_is_nested_too_deeply_is_no_record(tmp_path, record):
    store.write(record, tmp_path).with_name("deep.json").write_text("[" * 100_000)
    with pytest.raises(store.DamagedRecordError, match=r"deep.json is not a record"):
        store.read(record.paper, tmp_path)


def test_a_record_with_a_field_that_nobody_knows_is_refused(tmp_path, record):
    path = store.write(record, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"extra": 1}))
    with pytest.raises(InputError, match="is not a record"):
        store.read("ics", tmp_path)


def test_a_record_of_a_newer_version_asks_for_an_update(tmp_path, record):
    path = store.write(record, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": store.VERSION + 1, "new": True}))
    with pytest.raises(InputError, match="written by a newer version of novelty_utils: update"):
        store.read("ics", tmp_path)


# --- as a table ----------------------------------------------------------------------------------------------------


def test_the_table_has_one_row_per_result(record):
    table = store.to_frame([record, make(seed=1, rho=5.0)])
    assert len(table) == 4
    assert table["method"].tolist() == ["PCA", "ICS"] * 2
    assert table["value"].tolist() == [0.9, 0.95] * 2
    assert table["rho"].tolist() == [10.0, 10.0, 5.0, 5.0]
    assert table["seed"].tolist() == [0, 0, 1, 1]
    assert table.loc[0, ["low", "high", "class_name", "dataset", "tier"]].tolist() == [0.8, 1.0, "3", "digits", "smoke"]
    assert not table.columns.duplicated().any()
    both = {
        "PCA": {"seconds": 1.0},
        "a": {"seconds": 1.0, "precision": "fp32"},
        "b": {"seconds": 1.0, "precision": "bf16"},
    }
    assert store.to_frame([record.model_copy(update={"training": both})]).precision.tolist() == ["bf16 and fp32"] * 2
    assert set(store.to_frame([])) <= set(table)


def test_a_method_recorded_again_beside_others_has_its_newest_number():
    old, new = (
        make(found=[Result(method="PCA", metric="auroc", value=value), *more], methods=methods).model_copy(
            update={"created": created}
        )
        for value, more, methods, created in (
            (0.8, [Result(method="ICS", metric="auroc", value=0.95)], "PCA,ICS", "2026-01-01T00:00:00+00:00"),
            (0.9, [], "PCA", "2026-01-02T00:00:00+00:00"),
        )
    )
    for given in ([old, new], [new, old]):
        table = store.to_frame([*given, make(found=old.results, rho=5.0)])
        assert table.groupby(["method", "rho"]).value.unique().map(list).to_dict() == {
            ("ICS", 5.0): [0.95],
            ("ICS", 10.0): [0.95],
            ("PCA", 5.0): [0.8],
            ("PCA", 10.0): [0.9],
        }


def test_beside_the_book_the_records_of_the_reader_are_counted_and_replace_those_of_the_same_run(
    tmp_path, record, monkeypatch, capsys
):
    monkeypatch.setattr(store, "BOOK", tmp_path / "book")
    for theirs in (record, make(tier="demo"), make(tier="demo", seed=1)):
        store.write(theirs, tmp_path / "book")
    assert len(store.read_with_reference("ics", tmp_path / "book")) == 3
    store.write(record, tmp_path / "mine")
    assert len(store.read_with_reference("ics", tmp_path / "mine")) == 3
    assert capsys.readouterr().out == ""  # the book's, and a smoke run, which is in no table
    mine = make(tier="demo", found=[Result(method="PCA", metric="auroc", value=0.1)])
    store.write(mine, tmp_path / "mine")
    found = store.read_with_reference("ics", tmp_path / "mine")
    assert sorted(r.results[0].value for r in found if r.tier == "demo") == [0.1, 0.9]
    said = capsys.readouterr().out
    told = f"ics: 1 records of the book, 1 of {tmp_path / 'mine'} (in place of the book's of the same run)\n"
    assert said == told


@pytest.mark.parametrize("dataset", ["elpv_mono_1", "mnist_sample"])
def test_images_of_no_paper_stand_in_no_table_beside_one(tmp_path, monkeypatch, capsys, dataset):
    monkeypatch.setattr(store, "BOOK", tmp_path / "book")
    other = make(tier="demo", dataset=dataset, class_name="1")
    store.write(make(tier="demo"), tmp_path / "book")
    store.write(other, tmp_path / "book")
    store.write(other, tmp_path / "mine")
    for folder in ("book", "mine"):
        assert {record.dataset for record in store.read_with_reference("ics", tmp_path / folder)} == {"digits"}
    assert capsys.readouterr().out == ""


def test_the_book_has_its_records_wherever_the_reader_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    books = [record for record in store.read("ics", ROOT / "results") if record.dataset in store.IN_PAPERS]
    assert len(store.read_with_reference("ics", "mine")) == len(books) > 0


def test_beside_an_installed_package_the_book_is_the_clone_that_one_is_in(tmp_path, record, monkeypatch):
    monkeypatch.setattr(store, "BOOK", tmp_path / "site-packages" / "results")
    monkeypatch.chdir(tmp_path)
    store.write(record, "results")
    assert store.read_with_reference("ics", "mine") == store.read_with_reference("ics", "results") == [record]


def test_no_records_make_an_empty_table():
    table = store.to_frame([])
    assert table.empty
    assert not len(table[(table.metric == "auroc") & (table.method == "m") & (table.tier == "demo")])


# --- checkpoints of a run ------------------------------------------------------------------------------------------


def test_the_scratch_folder_is_that_of_the_same_parameters_and_stays_out_of_the_way(tmp_path, record):
    first, again, other = (
        store.scratch("ics", Parameters.check(ASKED | {"results": str(tmp_path), "seed": seed})) for seed in (0, 0, 1)
    )
    assert first == again != other
    first.mkdir(parents=True)
    (first / "a.json").write_text("{}")
    store.write(record, tmp_path)
    assert store.read("ics", tmp_path) == [record]


def test_the_scratch_folder_of_a_sweep_is_found_again_wherever_the_results_go(tmp_path, monkeypatch):
    monkeypatch.setenv("NOVELTY_CHECKPOINTS", str(tmp_path / "kept"))
    asked = [Parameters.check(ASKED | {"results": str(tmp_path / name)}) for name in ("run-1", "run-2")]
    (first, again) = (store.scratch("ics", parameters) for parameters in asked)
    assert first == again
    assert first.parent == tmp_path / "kept"
    monkeypatch.delenv("NOVELTY_CHECKPOINTS")
    assert store.scratch("ics", asked[0]) == tmp_path / "run-1" / ".checkpoints" / first.name


def test_a_damaged_record_is_replaced_by_the_run_that_has_just_happened(tmp_path, record):
    path = store.write(record, tmp_path)
    path.write_text("{")
    assert store.write(record, tmp_path) == path
    assert store.read("ics", tmp_path) == [record]


def test_a_file_has_one_line_per_result_and_reads_back_the_same(record, tmp_path):
    path = store.write(record, tmp_path)
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if '"method"' in line]
    assert len(lines) == len(record.results) > 1
    assert store.read("ics", tmp_path) == [record]


def test_tiers_are_never_mixed():
    rows = [("mnist", "demo", "3"), ("mnist", "demo", "4"), ("mnist", "paper", "3")]
    rows += [("digits", "demo", "3"), ("digits", "paper", "3")]  # a tie
    rows += [("digits", "smoke", name) for name in "345"]
    table = pd.DataFrame(rows, columns=["dataset", "tier", "class_name"])
    best = store.one_tier(table, "dataset")
    assert sorted(best.itertuples(index=False, name=None)) == [
        ("digits", "paper", "3"),
        ("mnist", "demo", "3"),
        ("mnist", "demo", "4"),
    ]
    assert len(store.where(table, dataset="mnist", class_name="3")) == 2
    assert len(store.where(table, dataset="mnist", class_name="9")) == 0


# --- parameters that came later ------------------------------------------------------------------------------------


@pytest.mark.prose
def test_the_committed_records_are_found_again_by_the_parameters_they_were_made_with():
    files = sorted((ROOT / "results").glob("*/*/*.json"))
    assert len(files) > 200
    moved = [
        file for file in files if store.parse(file.read_text(encoding="utf-8"), file).path(ROOT / "results") != file
    ]
    assert moved == []


def test_a_record_older_than_a_parameter_has_the_value_it_meant():
    old = make().model_dump(mode="json")
    del old["parameters"]["protocol"]
    read = store.parse(json.dumps(old), "old")
    assert read.parameters["protocol"] == "one_class"
    assert store.to_frame([read]).protocol.unique().tolist() == ["one_class"]


def test_another_protocol_has_another_place(record):
    other = record.model_copy(update={"parameters": record.parameters | {"protocol": "miso"}})
    assert other.path("r") != record.path("r")


# --- dead trainings --------------------------------------------------------------------------------------------------


def dead(name: str) -> dict:
    return {name: {"seconds": 1.0, "collapse": {"error": 1, "constant_error": 1, "spread": 0, "collapsed": True}}}


def alive(name: str) -> dict:
    return {name: {"seconds": 1.0, "collapse": {"error": 0, "constant_error": 1, "spread": 1, "collapsed": False}}}


@pytest.mark.parametrize(
    ("paper", "training", "method", "expected"),
    [
        ("nln", dead("AE"), "AE", True),
        ("nln", alive("AE") | dead("VAE"), "AE", False),
        ("nln", dead("AE"), "pixels", False),
        ("crbnd", dead("A") | alive("CRBND"), "CRBND", True),
        ("crbnd", alive("A") | dead("CRBND"), "CRBND", True),
        ("crbnd", alive("A") | dead("CRBND"), "error of A", False),
        ("crbnd", dead("A") | alive("no A"), "no A", False),
        ("crbnd", dead("A"), "statistics", False),
        ("nln_defects", dead("AE"), "NLN", True),
        ("nln_defects", {"AE": {"seconds": 1.0}}, "recon", None),
        ("crbnd", {"A": {"seconds": 1.0}} | dead("CRBND"), "CRBND", True),
    ],
)
def test_a_result_rests_on_its_networks(paper, training, method, expected):
    record = make().model_copy(update={"paper": paper, "training": training})
    if paper == "crbnd" and "collapse" not in training.get("A", {}):
        record = record.model_copy(update={"dataset": "folder:unknown"})
    assert store.collapsed(record, method) is expected


def test_the_collapse_of_adegan_is_told_by_its_own_measures():
    health = Result(method="health", metric="collapsed", value=1.0)
    record = make().model_copy(update={"paper": "ade_gan"})
    assert store.collapsed(record, "R1") is False
    record = record.model_copy(update={"results": [*record.results, health]})
    assert store.collapsed(record, "R1") is True
    assert store.collapsed(record, "pixels") is False


def test_the_frame_says_which_rows_rest_on_a_dead_network():
    record = make()
    method = record.results[0].method
    gone = record.model_copy(update={"training": dead(method)})
    assert store.to_frame([gone]).collapsed.map(bool).tolist() == [r.method == method for r in gone.results]
