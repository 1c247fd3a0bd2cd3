"""The typed, strict parameters of a run: what is accepted, and the one line with which the rest is refused."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from novelty_utils import params
from novelty_utils.data import datasets
from novelty_utils.errors import InputError
from novelty_utils.params import RunParameters
from novelty_utils.records import store
from novelty_utils.runs import checking, sweep_file

ROOT = Path(__file__).parents[1]
GOOD = {"dataset": "digits", "class_name": "3", "tier": "smoke", "seed": 0, "device": "auto", "results": "results"}


class Parameters(RunParameters):
    beta: float = Field(ge=0, lt=1, description="weight of a loss, eq. 1")


def check(**changes) -> RunParameters:
    return Parameters.check(GOOD | {"beta": 0.5} | changes)


def line_of(call, *arguments, **changes) -> str:
    with pytest.raises(InputError) as refused:
        call(*arguments, **changes)
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.fixture
def pictures(tmp_path):
    """folder:PATH with two classes."""
    for name in ("cat", "dog", ".cache"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
    (tmp_path / "pictures" / "readme.txt").write_text("no class")
    return tmp_path / "pictures"


# --- accepted ------------------------------------------------------------------------------------------------------


def test_good_values_come_back_as_they_are():
    assert check().model_dump() == GOOD | {"beta": 0.5}


def test_other_names_in_the_notebook_are_not_looked_at():
    assert check(np="a module", betta=3) == check()


@pytest.mark.parametrize("value", [3, "3"])
def test_the_class_of_digits_can_be_a_number_as_papermill_makes_it(value):
    assert check(class_name=value).class_name == "3"
    assert check(class_name=value).labels() == (3,)


def test_a_class_by_name_by_number_and_all_of_them():
    for dataset, value, labels in (
        ("fashion_mnist", "trouser", (1,)),
        ("fashion_mnist", "1", (1,)),
        ("cifar10", "truck", (9,)),
        ("digits", "all", tuple(range(10))),
    ):
        assert check(dataset=dataset, class_name=value).labels() == labels


def test_a_whole_number_will_do_for_a_weight():
    assert check(beta=0).beta == 0.0


def test_checked_values_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        check().seed = 3


def test_text_of_the_command_line_goes_over_the_defaults():
    found = Parameters.parse(GOOD | {"beta": 0.5}, {"beta": "1e-3", "seed": "7", "class_name": "all"})
    assert (found.beta, found.seed, found.class_name, found.tier) == (1e-3, 7, "all", "smoke")


# --- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("dataset", "mnits", "dataset='mnits' is not known: choose one of digits, mnist_sample, "),
        ("dataset", 5, "dataset=5: "),
        ("dataset", "folder:/no/such/folder", "/no/such/folder is not a folder; give one with a sub-folder per class"),
        ("class_name", "10", "class_name='10' is not a class of digits: choose 0, 1, "),
        ("class_name", -1, "class_name='-1' is not a class of digits"),
        ("class_name", "three", "class_name='three' is not a class of digits"),
        ("class_name", "", "class_name='' is not a class of digits"),
        ("class_name", 3.0, "class_name=3.0: "),
        ("class_name", True, "class_name=True: "),
        ("class_name", None, "class_name=None: "),
        ("tier", "full", "tier='full': input should be 'smoke', 'demo' or 'paper'"),
        ("seed", "0", "seed='0': input should be a valid integer"),
        ("seed", 0.0, "seed=0.0: "),
        ("seed", True, "seed=True: "),
        ("seed", -1, "seed=-1: input should be greater than or equal to 0"),
        ("seed", 2**31, "seed=2147483648: input should be less than 2147483648"),
        ("device", "gpu", "device='gpu': input should be 'auto', 'cpu' or 'cuda'"),
        ("results", "", "results='': "),
        ("results", 3, "results=3: "),
        ("beta", "0.5", "beta='0.5': input should be a valid number"),
        ("beta", -1e-9, "beta=-1e-09: input should be greater than or equal to 0 (weight of a loss, eq. 1)"),
        ("beta", 1.0, "beta=1.0: input should be less than 1"),
        ("beta", float("nan"), "beta=nan: input should be a finite number"),
        ("beta", float("inf"), "beta=inf: "),
        ("beta", None, "beta=None: "),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(name, value, told):
    assert told in line_of(check, **{name: value})


def test_allowed_values_are_spelled_as_they_have_to_be_typed():
    class Models(RunParameters):
        model: Literal["AE-res", "AE"] = Field(description="which one")

    assert line_of(Models.check, GOOD | {"model": "ae"}) == "model='ae': input should be 'AE-res' or 'AE' (which one)"


def test_the_first_fault_is_told_where_there_are_several():
    assert line_of(check, seed=-1, beta=-1.0).startswith("seed=-1: ")


@pytest.mark.parametrize("name", [*GOOD, "beta"])
def test_a_missing_parameter_is_named_and_explained(name):
    values = {key: value for key, value in (GOOD | {"beta": 0.5}).items() if key != name}
    about = Parameters.model_fields[name].description
    assert line_of(Parameters.check, values) == f"parameter {name!r} is missing: {about}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ({"betta": "1"}, "unknown parameter 'betta': choose from dataset, class_name, "),
        ({"beta": "much"}, "beta='much': input should be a valid number"),
        ({"beta": "nan"}, "beta='nan': "),
        ({"seed": "1.5"}, "seed='1.5': "),
        ({"seed": ""}, "seed='': "),
        ({"class_name": "10"}, "class_name='10' is not a class of digits"),
        ({"dataset": "fashion_mnist", "class_name": "Trouser"}, "choose t-shirt, trouser, "),
    ],
)
def test_wrong_text_of_the_command_line_is_refused_in_one_line(text, told):
    assert told in line_of(Parameters.parse, GOOD | {"beta": 0.5}, text)


def test_a_notebook_shows_the_line_instead_of_a_stack():
    assert InputError("what and why")._render_traceback_() == ["InputError: what and why"]


# --- results and folders of images ---------------------------------------------------------------------------------


def test_results_may_be_a_new_folder_but_not_a_file_or_below_one(tmp_path):
    (tmp_path / "file").write_text("")
    assert check(results=str(tmp_path / "new" / "deeper"))
    for value in (tmp_path / "file", tmp_path / "file" / "deeper"):
        assert f"{tmp_path / 'file'} is a file; give a folder" in line_of(check, results=str(value))


def test_results_must_be_writable(tmp_path, monkeypatch):
    monkeypatch.setattr(params.os, "access", lambda path, mode: False)  # the tests may run as root, who may do anything
    assert "cannot be written to" in line_of(check, results=str(tmp_path / "new"))


def test_checking_writes_nothing(tmp_path):
    check(results=str(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


def test_the_classes_of_a_folder_are_its_sub_folders_in_order(pictures):
    assert params.class_names(f"folder:{pictures}") == ("cat", "dog")
    found = check(dataset=f"folder:{pictures}", class_name="dog")
    assert found.labels() == (1,)
    assert check(dataset=f"folder:{pictures}", class_name=0).labels() == (0,)
    told = line_of(check, dataset=f"folder:{pictures}", class_name="bird")
    assert "class_name='bird' is not a class of folder:" in told
    assert "choose cat, dog, 0 to 1, or all" in told


def test_a_folder_with_train_and_test_has_the_classes_of_both(tmp_path):
    for name in ("train/cat", "test/cat", "test/dog"):
        (tmp_path / name).mkdir(parents=True)
    assert params.class_names(f"folder:{tmp_path}") == ("cat", "dog")


@pytest.mark.parametrize("there", [[], ["cat"], ["cat", ".dog"]])
def test_a_folder_needs_two_classes(tmp_path, there):
    for name in there:
        (tmp_path / name).mkdir()
    told = line_of(params.class_names, f"folder:{tmp_path}")
    assert f"needs at least two class folders, found {min(len(there), 1)}: give the folder that holds" in told


def test_a_space_around_the_path_of_a_folder_is_named(pictures):
    for dataset in (f"folder: {pictures}", f"folder:{pictures} "):
        told = line_of(params.class_names, dataset)
        assert told.endswith(f"sub-folder per class (write folder:{pictures}, without the space)")
    assert "(write" not in line_of(params.class_names, f"folder:{pictures}/none")


def test_of_many_classes_those_like_the_given_one_are_told_and_where_all_are(tmp_path):
    said = "class_name='dogs' is not a class of caltech256: choose one of 257 such as dog "
    said += "(novelty_utils.params.class_names('caltech256') has all), 0 to 256, or all"
    assert line_of(check, dataset="caltech256", class_name="dogs") == said
    for given, near in {"faces": "faces-easy-101 (", "999": "ak47, american-flag, backpack, baseball-bat, b"}.items():
        assert f"such as {near}" in line_of(check, dataset="caltech256", class_name=given)
    for number in range(21):
        (tmp_path / f"product{number}" / "train" / "good").mkdir(parents=True)
    told = line_of(check_defects, dataset=f"folder:{tmp_path}", class_name="product99")
    assert f"(novelty_utils.params.defect_class_names('folder:{tmp_path}') has all), 0 to 20, or all" in told


def test_a_file_is_not_a_folder_of_images(pictures):
    assert "is not a folder" in line_of(params.class_names, f"folder:{pictures / 'readme.txt'}")


def test_a_class_named_like_a_number_is_meant_by_its_name(tmp_path):
    for name in ("1", "0", "7"):
        (tmp_path / name).mkdir()
    assert check(dataset=f"folder:{tmp_path}", class_name=7).labels() == (2,)
    assert "choose 0, 1, 7, or all" in line_of(check, dataset=f"folder:{tmp_path}", class_name=2)


def folder_of(folder: Path, *names: str) -> dict[str, str]:
    for name in names:
        (folder / name).mkdir()
    return {"dataset": f"folder:{folder}"}


def test_where_a_class_is_called_by_a_number_names_alone_count(tmp_path):
    months = folder_of(tmp_path, *(f"{number:02d}" for number in range(1, 13)))
    assert check(**months, class_name="08").labels() == (7,)
    assert check(**months, class_name=10).labels() == (9,)
    for lost in (8, "8"):  # as papermill and YAML make it of 08
        told = line_of(check, **months, class_name=lost)
        assert "choose 01, 02, 03, " in told and "12, or all (08 is text: with papermill write -r class_name 08" in told
    assert "(010" not in line_of(check, **months, class_name="13")


@pytest.mark.parametrize("name", ["7", "-1", "1e3", "1.5", "1_000", "０８"])
def test_one_number_among_the_names_is_enough(tmp_path, name):
    classes = folder_of(tmp_path, "cat", "dog", name)
    assert "is not a class of" in line_of(check, **classes, class_name="0")


@pytest.mark.parametrize(("names", "number"), [(("1", "01"), 1), (("8", "010"), 8), (("10", "012"), 10)])
def test_a_number_that_was_one_of_two_names_is_refused_and_its_name_is_not(tmp_path, names, number):
    classes = folder_of(tmp_path, *names)
    assert f"class_name={number} may mean " in line_of(check, **classes, class_name=number)
    for name in names:
        assert params.class_names(classes["dataset"])[check(**classes, class_name=name).labels()[0]] == name


def test_digits_of_another_script_are_no_place(pictures):
    assert "class_name='１' is not a class of" in line_of(check, dataset=f"folder:{pictures}", class_name="１")


def test_a_name_that_papermill_has_made_a_number_of_is_told_how_to_give(pictures):
    told = line_of(check, dataset=f"folder:{pictures}", class_name=1000.0)
    assert told == "class_name=1000.0: give the name as text; with papermill write -r class_name NAME"


def test_a_class_called_all_is_refused(tmp_path):
    told = line_of(params.class_names, folder_of(tmp_path, "all", "none")["dataset"])
    assert told == f"{tmp_path / 'all'} is called like every class in turn: give the folder another name"


@pytest.mark.parametrize("names", [("caf\u00e9", "cafe\u0301"), ("3", "３")])
def test_names_that_look_alike_are_refused(tmp_path, names):
    told = line_of(params.class_names, folder_of(tmp_path, *names)["dataset"])
    assert "two class folders that look alike, " in told and told.isascii()


def test_a_name_is_found_in_whatever_form_its_letters_are_stored(tmp_path):
    classes = folder_of(tmp_path, "cafe\u0301", "bar")
    assert check(**classes, class_name="caf\u00e9").labels() == (1,)


@pytest.mark.parametrize(
    ("name", "told"),
    [(b"caf\xe9", "give it a name of printable characters (UTF-8)"), (b"5$ or 6$", "figures take for a formula")],
)
def test_a_name_that_no_record_could_hold_or_figure_show_is_refused(tmp_path, name, told):
    (tmp_path / "cat").mkdir()
    (tmp_path / os.fsdecode(name)).mkdir()
    assert told in line_of(params.class_names, f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("seed", "1_000", "write a whole number plainly"),
        ("seed", "1.0", "write a whole number plainly"),
        ("seed", "１", "write a whole number plainly"),
        ("seed", " 1", "write a whole number plainly"),
        ("beta", "0.1_0", "write a number plainly"),
        ("beta", "０.5", "write a number plainly"),
        ("seed", "9" * 5000, "seed='9999"),
        ("beta", "9" * 5000, "beta='9999"),
        ("class_name", "9" * 5000, "class_name='9999"),
        ("words", "40,５0", "has digits that are none of 0 to 9"),
    ],
)
def test_numbers_are_plain(name, text, told):
    class Wordy(Parameters):
        words: str = Field(description="several, as one text")

    line = line_of(Wordy.parse, GOOD | {"beta": 0.5, "words": "40"}, {name: text})
    assert told in line and len(line) < 400


def test_plain_numbers_are_taken():
    for text in ("1e-3", ".5", "0.", "5E-1", "0"):
        assert Parameters.parse(GOOD | {"beta": 0.5}, {"beta": text}).beta == float(text)
    assert Parameters.parse(GOOD | {"beta": 0.5}, {"seed": "007"}).seed == 7


def identity(**text: str) -> str:
    """What a record of a run with these words on the command line is found by."""
    return sweep_file.asking(Parameters.parse(GOOD | {"beta": 0.5}, text).model_dump())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("beta", ["0", "-0", "-0.0", "+0", "0.0", "0e5", "-0e-9"]),
        ("beta", ["0.1", "1e-1", ".1", "0.10", "+.1E0", "00.1"]),
        ("seed", ["1", "01", "+1", "0001"]),
        ("dataset", ["folder:pictures", "folder:pictures/", "folder:./pictures", "folder:.//pictures/."]),
    ],
)
def test_however_a_value_is_typed_its_run_is_the_same(name, words, pictures, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    more = {"class_name": "cat"} if name == "dataset" else {}
    assert len({identity(**{name: word}, **more) for word in words}) == 1


@pytest.mark.parametrize(("name", "value"), [("beta", -0.0), ("beta", 0)])
def test_a_value_of_papermill_is_that_of_the_command_line(name, value):
    assert repr(check(**{name: value}).beta) == "0.0"


@pytest.mark.parametrize(
    ("notebook", "name", "words"),
    [
        ("ics", "methods", ["CAE,ICS", "ICS,CAE"]),
        ("nln", "models", ["VAE,AE-con", "AE-con,VAE"]),
        ("crbnd", "shares", ["10,20", "20,10", "010,20"]),
        ("rivals", "methods", ["AE,REAPER", "REAPER,AE"]),
    ],
)
def test_a_list_says_the_same_in_any_order(notebook, name, words):
    file = checking.find_notebook(str(ROOT / "notebooks" / f"{notebook}.ipynb"))
    found = {getattr(checking.check(file, {name: word})[0], name) for word in words}
    assert found == {words[0]}


def test_all_methods_by_name_are_all():
    file = checking.find_notebook(str(ROOT / "notebooks" / "rivals.ipynb"))
    every = checking.check(file, {"methods": "all"})[0].model_json_schema()["properties"]["methods"]["description"]
    names = every.removeprefix("all, or some of ").replace(", ", ",")
    assert checking.check(file, {"methods": names})[0].methods == "all"


@pytest.mark.prose
def test_every_committed_record_has_its_parameters_as_they_are_written_today():
    """Or the same run, asked for again, would not find it."""
    seen, found = set(), 0
    for paper in sorted({path.name for path in (ROOT / "results").iterdir() if path.is_dir()}):
        records = store.read(paper, ROOT / "results")
        schema, defaults = checking.read_schema(ROOT / "notebooks" / f"{paper}.ipynb") if records else (None, {})
        for record in records:
            asked = {name: value for name, value in record.parameters.items() if name != "seed"}
            if (key := (paper, sweep_file.asking(asked))) not in seen:
                seen.add(key)
                drawn = record.class_name not in schema.classes_of(record.dataset)
                words = {name: str(value) for name, value in asked.items()}
                typed = {**words, "class_name": "all" if drawn else record.class_name}
                try:
                    again = schema.parse(defaults, typed).model_dump()
                except InputError:  # nobody can ask for it again: rules came later
                    continue
                found += 1
                assert sweep_file.asking({name: again[name] for name in asked}) == key[1]
    assert found > 0.8 * len(seen) > 50


# --- data sets of defects ------------------------------------------------------------------------------------------


class DefectParameters(RunParameters):
    classes_of = staticmethod(params.defect_class_names)


def check_defects(**changes) -> RunParameters:
    return DefectParameters.check(GOOD | {"dataset": "synthetic_defects", "class_name": "nut"} | changes)


@pytest.fixture
def products(tmp_path):
    """folder:PATH with one class of defects."""
    for name in ("products/bolt/train/good", "products/.trash/train", "products/notes"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "products"


def test_the_classes_of_defects(products):
    assert check_defects().labels() == (4,)
    assert check_defects(class_name="all").labels() == tuple(range(6))
    assert check_defects(dataset="mvtec_ad", class_name="zipper").labels() == (14,)
    assert len(params.defect_class_names("mvtec_ad")) == 15
    assert params.defect_class_names(f"folder:{products}") == ("bolt",)  # one class will do
    assert check_defects(dataset=f"folder:{products}", class_name="bolt").labels() == (0,)


def test_data_sets_of_defects_are_refused_where_classes_are_meant_and_the_other_way_round():
    told = line_of(check, dataset="mvtec_ad", class_name="zipper")
    assert "dataset='mvtec_ad' is not known: choose one of digits, " in told
    assert line_of(check_defects, dataset="digits", class_name="3") == (
        "dataset='digits' is not known: choose one of synthetic_defects, mvtec_ad or folder:PATH"
    )
    assert "class_name='bottle' is not a class of synthetic_defects: choose brick, cloth" in line_of(
        check_defects, class_name="bottle"
    )


def test_a_folder_without_a_class_of_defects(products, tmp_path):
    told = line_of(check_defects, dataset=f"folder:{products / 'bolt'}", class_name="bolt")
    assert f"no CLASS/train/good in {products / 'bolt'}; give the folder that holds the classes" in told
    assert "is not a folder" in line_of(check_defects, dataset=f"folder:{tmp_path / 'none'}")


# --- fast enough to come first -------------------------------------------------------------------------------------


def test_the_check_needs_no_torch():
    code = "import sys, novelty_utils.params, novelty_utils.runs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("path", ["", " ", "a\nb", "a\0b", "~nobody-of-this-name/x"])
@pytest.mark.parametrize("name", ["dataset", "results"])
def test_a_path_that_cannot_be_one_is_refused_in_one_line(name, path):
    asked = {"dataset": "digits", "class_name": "3", "tier": "smoke", "seed": 0, "device": "auto", "results": "r"}
    with pytest.raises(InputError) as caught:
        RunParameters.check(asked | {name: f"folder:{path}" if name == "dataset" else path})
    assert "\n" not in str(caught.value)


def test_a_home_folder_is_spelled_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check(results="~/out").results == str(tmp_path / "out")


LONG = "x" * 300


@pytest.mark.parametrize("path", ["~nobody-of-this-name/data", f"/tmp/{LONG}", __file__, __file__ + "/data"])
def test_a_folder_for_data_that_cannot_be_one_is_refused_in_one_line(monkeypatch, path):
    monkeypatch.setenv("NOVELTY_DATA", path)
    line_of(datasets.cache_dir)


@pytest.mark.parametrize("name", ["dataset", "results"])
def test_a_path_whose_name_is_too_long_is_refused_in_one_line(tmp_path, name):
    path = str(tmp_path / "new" / LONG)
    told = line_of(check, **{name: f"folder:{path}" if name == "dataset" else path})
    assert "has a part of more than 255 bytes: give a shorter name" in told


@pytest.fixture
def closed():
    """A folder that may not be looked into. Root may look into all, so if root runs the tests it is nobody for once."""
    with tempfile.TemporaryDirectory() as above:  # not tmp_path, above which are folders of root alone
        Path(above).chmod(0o755)
        folder = Path(above, "closed")
        (folder / "inside" / "cat").mkdir(parents=True)
        folder.chmod(0)
        before = os.geteuid()
        os.seteuid(before or 65534)
        yield folder
        os.seteuid(before)
        folder.chmod(0o700)


def test_a_folder_without_permission_is_refused_in_one_line(closed):
    for path in (closed, closed / "inside"):
        assert "Permission denied): check path" in line_of(check, dataset=f"folder:{path}")
    assert "Permission denied): check path" in line_of(check, results=str(closed / "inside"))
    with pytest.raises(InputError, match=r"closed.* cannot be read \(Permission denied\)"):
        store.read("inside", closed.parent / "closed")
    with pytest.raises(InputError, match=r"closed cannot be read \(Permission denied\)"):
        store.read("closed", closed.parent)
