"""The shared figures: what is drawn, from what, and that the data stay as they are."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from novelty_utils.evaluation import plots

Y = np.array([0] * 30 + [1] * 20)
S = np.concatenate([np.linspace(0, 1, 30), np.linspace(0.5, 2, 20)])


@pytest.fixture(autouse=True)
def closed():
    with plt.rc_context():
        yield
    plt.close("all")


def drawn(figure) -> None:
    """Draw it: faults in labels and scales show only now."""
    figure.canvas.draw()


def test_the_style_is_readable_in_dark_mode_too():
    plots.set_style()
    assert plt.rcParams["savefig.facecolor"] == "white"
    assert len({plots.NORMAL, plots.NOVEL, plots.TYPICAL, plots.ATYPICAL}) == 4


def test_a_gallery_shows_at_most_ten_pictures_in_each_row():
    grey = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8)
    colour = torch.rand(3, 3, 8, 8)
    figure = plots.gallery({"typical": grey, "atypical": colour}, colours=[plots.TYPICAL, plots.ATYPICAL])
    drawn(figure)
    rows = [np.asarray(axis.images[0].get_array()) for axis in figure.axes]
    assert [row.shape for row in rows] == [(12, 102, 3)] * 2  # ten pictures of 8 pixels, 2 pixels between them
    assert np.array_equal(rows[0][2:10, 92:100, 0], grey[9, 0].numpy())
    assert np.allclose(rows[1][2:10, 22:30], colour[2].permute(1, 2, 0).numpy())
    assert (rows[1][:, 32:] == 1).all()  # nothing stands where there is no picture
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["typical", "atypical"]


def test_failures_are_the_normal_images_on_top_and_the_novel_ones_at_the_bottom():
    seen = []

    def look(index):
        seen.append(index)
        return {"x": torch.full((len(index), 1, 8, 8), 0.5)}

    figure = plots.failures(Y, S, look)
    drawn(figure)
    assert seen[0].tolist() == [29, 28, 27, 26, 25, 30, 31, 32, 33, 34]
    (axis,) = figure.axes
    assert "5 worst false alarms, then 5 worst misses" in axis.get_title(loc="left")
    assert [text.get_text() for text in axis.texts] == [f"{S[n]:.3g}" for n in seen[0]]
    few = plots.failures(Y[28:32], S[28:32], look)
    assert seen[1].tolist() == [1, 0, 2, 3]
    assert "2 worst false alarms, then 2 worst misses" in few.axes[0].get_title(loc="left")


def test_curves_show_every_term_over_the_epochs_with_losses_of_either_sign():
    figure = plots.curves({"CAE": {"rec": [3.0, 2.0, 1.0]}, "ICS": {"rec": [1.0, 0.5], "disp1": [-0.1, -0.2]}})
    drawn(figure)
    lines = [{line.get_label(): list(line.get_ydata()) for line in axis.lines} for axis in figure.axes]
    assert lines == [{"rec": [3.0, 2.0, 1.0]}, {"rec": [1.0, 0.5], "disp1": [0.1, 0.2]}]
    assert list(figure.axes[0].lines[0].get_xdata()) == [1, 2, 3]
    assert [axis.get_title() for axis in figure.axes] == ["CAE", "ICS"]


def test_histograms_of_both_classes_have_unit_area_and_common_bins():
    figure = plots.score_histograms(Y, {"ICS": S, "PCA": -S})
    drawn(figure)
    for axis in figure.axes:
        normal, novel = (list(container) for container in axis.containers)
        for bars in (normal, novel):
            assert sum(bar.get_width() * bar.get_height() for bar in bars) == pytest.approx(1.0)
        assert [bar.get_x() for bar in normal] == [bar.get_x() for bar in novel]
    assert figure.axes[0].containers[1][-1].get_height() > 0 == figure.axes[0].containers[0][-1].get_height()


def test_the_roc_curves_run_from_corner_to_corner():
    figure = plots.roc(Y, {"ICS": S, "perfect": Y.astype(float)})
    drawn(figure)
    ics, perfect, chance = figure.axes[0].lines
    for line in (ics, perfect, chance):
        assert (line.get_xdata()[0], line.get_ydata()[0]) == (0, 0)
        assert (line.get_xdata()[-1], line.get_ydata()[-1]) == (1, 1)
    assert np.trapezoid(perfect.get_ydata(), perfect.get_xdata()) == 1.0
    assert 0.5 < np.trapezoid(ics.get_ydata(), ics.get_xdata()) < 1.0
    assert [line.get_label() for line in (ics, perfect, chance)] == ["ICS", "perfect", "chance"]


def test_plotting_leaves_the_scores_as_they_are():
    scores = {"ICS": S.copy()}
    plots.roc(Y, scores)
    plots.score_histograms(Y, scores)
    assert np.array_equal(scores["ICS"], S)


def test_a_network_is_drawn_with_a_box_for_each_block_and_an_arrow_into_each_but_the_first():
    axis = plt.figure().add_subplot()
    plots.network(axis, {"x": (1, 32), "a": (64, 8), "z": (64, 1)}, {("x", "z"): "mean"})
    x, a, z = axis.patches
    assert x.get_height() > a.get_height() > z.get_height()
    assert x.get_width() < a.get_width() == z.get_width()
    words = [text.get_text() for text in axis.texts]
    assert [word for word in words if word] == ["x\n1×32×32", "a\n64×8×8", "z\n64×1×1", "mean"]
    assert words.count("") == 2 + 1  # arrows along the chain, and the arch
