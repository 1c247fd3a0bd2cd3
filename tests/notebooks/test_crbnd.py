"""What the CRBND notebook defines: degradations, examples, losses and networks, against independent references."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.covariance import LedoitWolf
from sklearn.metrics import log_loss

from novelty_utils import detectors

CRBND = detectors.load("crbnd")
SHAPE = (1, 32, 32)


# --- degradations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [3, 7, 15])
def test_motion_blur_is_a_convolution_with_the_kernel_of_its_direction(length):
    x = torch.rand(32, 3, 21, 19, generator=torch.Generator().manual_seed(1))[..., :19, :]
    direction = torch.arange(32) % CRBND.DIRECTIONS
    blurred = CRBND.motion_blur(x, direction, length)
    assert blurred.shape == x.shape
    for image, number, result in zip(x, direction, blurred, strict=True):
        kernel = CRBND.motion_kernels(length)[number, 0].numpy()
        for channel in range(3):
            expected = ndimage.correlate(image[channel].numpy(), kernel, mode="nearest")
            np.testing.assert_allclose(result[channel], expected, atol=1e-5)


def test_horizontal_and_vertical_blur_are_running_means():
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    quarter = CRBND.DIRECTIONS // 2
    blurred = CRBND.motion_blur(x, torch.tensor([0, quarter]), 5)
    for number, axis in enumerate((1, 0)):
        expected = ndimage.uniform_filter1d(x[number, 0].numpy(), 5, axis=axis, mode="nearest")
        np.testing.assert_allclose(blurred[number, 0], expected, atol=1e-5)


def test_a_diagonal_kernel_holds_the_share_of_the_line_in_each_pixel():
    kernel = CRBND.motion_kernel(3, np.pi / 4).numpy()
    middle = np.sqrt(2) / 3  # the diagonal of the middle pixel; the rest of a line of length 3 lies half on either side
    expected = np.diag([(1 - middle) / 2, middle, (1 - middle) / 2])
    np.testing.assert_allclose(kernel, expected, atol=1e-3)


@pytest.mark.parametrize("length", [3, 7, 15])
def test_kernels_have_sum_one_and_look_the_same_upside_down(length):
    kernels = CRBND.motion_kernels(length)[:, 0]
    assert kernels.shape == (CRBND.DIRECTIONS, length, length)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(len(kernels)))
    torch.testing.assert_close(kernels, kernels.flip(1, 2), atol=1e-3, rtol=0)
    distinct = len({tuple(kernel.flatten().tolist()) for kernel in kernels})
    assert distinct == len(kernels) or length == 3  # where the flattest slopes stay within the middle row


def test_coarse_dropout_removes_whole_cells_and_nothing_else():
    grid = (torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.5).float()
    mask = CRBND.enlarged(grid, 32)
    for small, large in zip(grid, mask, strict=True):
        assert np.array_equal(large[0], np.kron(small[0], np.ones((4, 4))))
    x, eta = torch.rand(5, 1, 32, 32), torch.randn(5, 1, 32, 32)
    x_c = CRBND.corrupted(x, eta, mask)
    assert not x_c[mask == 1].any()
    assert torch.equal(x_c[mask == 0], (x + eta)[mask == 0])


def test_noise_and_dropout_have_the_strength_they_are_said_to_have():
    drawn = CRBND.corruption(SHAPE, torch.Generator().manual_seed(4), 400)
    assert drawn["eta"].std().item() == pytest.approx(CRBND.NOISE, rel=0.01)
    assert drawn["beta"].mean().item() == pytest.approx(CRBND.DROP, rel=0.05)
    negative = CRBND.degradation(SHAPE, torch.Generator().manual_seed(5), 2000)
    assert negative["is_blurred"].float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert negative["eta"].std().item() == pytest.approx(1, rel=0.01)
    assert set(negative["direction"].tolist()) == set(range(CRBND.DIRECTIONS))


def test_degrade_blurs_or_adds_noise_and_stays_in_range():
    x = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(6))
    batch = CRBND.degradation(SHAPE, torch.Generator().manual_seed(7), 6)
    batch["is_blurred"][:] = (torch.arange(6) < 3)[:, None, None, None]
    result = CRBND.degrade(x, batch, 7, 0.25)
    torch.testing.assert_close(result[:3], CRBND.motion_blur(x, batch["direction"], 7)[:3])
    torch.testing.assert_close(result[3:], (x + 0.25 * batch["eta"]).clamp(0, 1)[3:])
    assert result.min() >= 0
    assert result.max() <= 1


# --- losses and examples -------------------------------------------------------------------------------------------


def test_charbonnier_by_hand():
    loss = CRBND.charbonnier(torch.tensor([0.0, 0.003, 0.4]), torch.tensor([0.0, 0.0, 0.1]))
    np.testing.assert_allclose(loss, [0.001, np.sqrt(9e-6 + 1e-6), np.sqrt(0.09 + 1e-6)], rtol=1e-5)


def test_connective_images_by_hand():
    x, x_prime = torch.tensor([1.0, 0.2]), torch.tensor([0.0, 0.6])
    torch.testing.assert_close(CRBND.connect(x, x_prime, 0.75), torch.tensor([0.75, 0.3]))


@pytest.fixture
def batch() -> dict:
    """Images of 0.8, reconstructions of 0.4 and A(d(x)) of 0.1, all of them constant: blur leaves them alone."""
    batch = CRBND.degradation(SHAPE, torch.Generator().manual_seed(8), 4)
    batch["is_blurred"][:] = True
    batch["is_image"][:] = torch.tensor([True, False, True, False])[:, None, None, None]
    levels = torch.tensor([0.8, 0.4, 0.1])[None, :, None, None]
    return batch | {"all": levels.expand(4, 3, 32, 32)}


def pictures(batch) -> tuple:
    """x, x' and A(d(x)) of a batch."""
    return batch["all"].split(1, 1)


@pytest.mark.parametrize(
    ("reading", "level"),
    [("rec", [0.4] * 4), ("either", [0.8, 0.4] * 2), ("input", [0.8] * 4), ("code", [0.8] * 4), ("again", [0.1] * 4)],
)
def test_each_reading_degrades_the_image_it_names(batch, reading, level):
    result = CRBND.degraded(pictures(batch), batch, reading, 7, 0.25)
    torch.testing.assert_close(result.mean((1, 2, 3)), torch.tensor(level))


def test_the_reading_of_the_public_code_has_no_noise(batch):
    batch["is_blurred"][:] = False
    assert CRBND.degraded(pictures(batch), batch, "code", 7, 0.25).std() < 1e-6
    assert CRBND.degraded(pictures(batch), batch, "input", 7, 0.25).std() > 0.1


def test_the_loss_is_the_cross_entropy_with_positives_first(batch):
    logits = torch.tensor([2.0, -1.0, 0.5, 3.0, 1.5, -2.0, 0.1, -0.3])  # four positives, four negatives
    terms = CRBND.classifier_loss(0.5, "rec", 7, 0.25)(lambda x: logits, batch)
    expected = log_loss([1] * 4 + [0] * 4, logits.sigmoid().numpy())
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert terms["accuracy"].item() == 5 / 8


def test_positives_and_negatives_are_what_eqs_4_and_5_say(batch):
    seen = []

    def spy(x):
        seen.append(x.mean((1, 2, 3)))
        return torch.zeros(len(x))

    CRBND.classifier_loss(0.25, "again", 7, 0.25)(spy, batch)
    positive, negative = 0.25 * 0.8 + 0.75 * 0.4, 0.25 * 0.8 + 0.75 * 0.1
    torch.testing.assert_close(seen[0], torch.tensor([positive] * 4 + [negative] * 4))


def test_the_ideal_denoiser_is_the_posterior_mean():
    known = np.array([[0.0, 0.0], [1.0, 0.0]])
    result = CRBND.ideal_denoiser(np.array([[0.25, 3.0]]), known, 0.5).numpy()
    weight = 1 / (1 + np.exp((0.75**2 - 0.25**2) / (2 * 0.5**2)))  # of the second point
    np.testing.assert_allclose(result, [[weight, 0.0]])


# --- networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "side", "depth", "narrowest"),
    [
        ("paper", 16, 4, 256 * 1 * 1),
        ("paper", 32, 4, 256 * 2 * 2),
        ("paper", 32, 2, 64 * 8 * 8),
        ("paper", 32, 5, 256 * 1 * 1),
        ("dense64", 32, 4, 64),
        ("dense64", 32, 2, 64),
        ("code", 16, 4, 256),
        ("code", 32, 4, 256),
    ],
)
def test_networks_have_the_shapes_and_learn_with_every_weight(arch, side, depth, narrowest):
    model = CRBND.Autoencoder(arch, 1, side, depth, torch.tensor([0.1])).train()
    x = torch.rand(3, 1, side, side)
    sizes = []
    for layer in model:
        layer.register_forward_hook(lambda _, __, output: sizes.append(output[0].numel()))
    result = model(x)
    assert result.shape == x.shape
    assert 0 < result.min() <= result.max() < 1
    assert min(sizes[:-1]) == narrowest
    for network in (model, CRBND.Classifier(arch, 1, side).train()):
        network(x).square().sum().backward()
        assert all(w.grad is not None and w.grad.isfinite().all() for w in network.parameters())


def test_no_long_skip_leads_around_the_bottleneck():
    model = CRBND.Autoencoder("paper", 1, 32, 4, torch.tensor([0.1])).eval()
    bottom = len(CRBND.paper_encoder(1, 4)) - 1
    model[bottom].register_forward_hook(lambda _, __, output: torch.zeros_like(output))
    with torch.inference_mode():
        first, second = model(torch.rand(2, 1, 32, 32))
    assert torch.equal(first, second)


@pytest.mark.parametrize("arch", ["paper", "dense64", "code"])
def test_an_autoencoder_starts_from_the_mean_grey_and_not_from_one_half(arch):
    x = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(9))
    grey, half = (CRBND.Autoencoder(arch, 1, 32, 4, torch.tensor([mean])).eval() for mean in (0.1, 0.5))
    half.load_state_dict(grey.state_dict() | {f"{len(half) - 1}.bias": torch.zeros(1)})
    with torch.inference_mode():
        difference = grey(x).logit() - half(x).logit()
    torch.testing.assert_close(difference, torch.full_like(difference, np.log(1 / 9)), atol=1e-4, rtol=0)


# --- scores --------------------------------------------------------------------------------------------------------


def test_an_error_is_eq_3_of_an_image_and_its_reconstruction():
    pairs = torch.tensor([[[[0, 255]], [[0, 51]]], [[[51, 51]], [[51, 51]]]], dtype=torch.uint8)
    expected = [(0.001 + np.sqrt(0.8**2 + 1e-6)) / 2, 0.001]
    np.testing.assert_allclose(CRBND.reconstruction_errors(pairs), expected, rtol=1e-5)


def test_a_known_image_is_not_its_own_neighbour():
    known = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    distance, number = CRBND.nearest_known(known, known, among_them=True)
    torch.testing.assert_close(distance, torch.tensor([0.4, 0.4, 1.6]))
    assert number.tolist() == [1, 0, 1]
    assert CRBND.nearest_known(known, known[1:], among_them=False)[1].tolist() == [1, 2]


def test_pixel_statistics_are_ten_for_each_channel():
    x = torch.randint(0, 256, (3, 2, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(10))
    found = CRBND.pixel_statistics(x)[1].reshape(10, 2)  # of each, first one channel, then the other
    for channel in range(2):
        image = x[1, channel].double().numpy() / 255
        quantiles = np.quantile(image, [0.05, 0.25, 0.5, 0.75, 0.95])
        slopes = [np.abs(np.diff(image, axis=axis)).mean() for axis in (0, 1)]
        expected = [image.mean(), image.std(ddof=1), *quantiles, *slopes, (image > 0.9).mean()]
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-6)


def test_the_score_of_statistics_is_a_mahalanobis_distance_that_ignores_what_never_varies():
    x = torch.randint(0, 200, (40, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(11))
    features = CRBND.pixel_statistics(x)[:, :9]  # none is ever above 0.9
    features = features / features.std(0)
    model = LedoitWolf().fit(features)
    away = features - features.mean(0)
    expected = np.einsum("ni,ij,nj->n", away, np.linalg.inv(model.covariance_), away)
    np.testing.assert_allclose(CRBND.statistics_scorer(x)(x), expected, rtol=1e-6)
