"""Inspection data: the folder layout, what is refused, and the way into patches and back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from novelty_utils.data import defects, synthetic_defects
from novelty_utils.errors import InputError

RANDOM = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NOVELTY_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise(height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    return RANDOM.randint(0, 256, (height, width, channels) if channels > 1 else (height, width)).astype(np.uint8)


def white_corner(height: int = 8, width: int = 8) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 2, : width // 2] = 255
    return mask


@pytest.fixture
def parts(tmp_path) -> Path:
    """folder:PATH with one whole class, `bolt`: 2 images to train on, 1 good and 1 + 1 defective ones to test on."""
    bolt = tmp_path / "parts" / "bolt"
    for file in ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/bent/0.png", "test/rust/7.png"):
        save(bolt / file, noise())
    for file in ("bent/0_mask.png", "rust/7_mask.png"):
        save(bolt / "ground_truth" / file, white_corner())
    return tmp_path / "parts"


def load(parts: Path, side: int = 8) -> defects.Defects:
    return defects.load(f"folder:{parts}", "bolt", side)


def refusal(*arguments) -> str:
    with pytest.raises(InputError) as caught:
        defects.load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused(parts: Path, side: int = 8) -> str:
    return refusal(f"folder:{parts}", "bolt", side)


# --- what is read --------------------------------------------------------------------------------------------------


def test_the_layout_is_read_in_order_with_its_masks(parts):
    bolt = load(parts)
    assert (bolt.name, bolt.class_name) == (f"folder:{parts}", "bolt")
    masks, kinds = bolt.reveal()
    assert kinds == ("good", "bent", "rust")
    assert [len(bolt.train), len(bolt.test), len(bolt.images)] == [2, 3, 5]
    files = ("train/good/0", "train/good/1", "test/good/0", "test/bent/0", "test/rust/7")
    for image, file in zip(bolt.images, files, strict=True):
        assert np.array_equal(image.permute(1, 2, 0), Image.open(parts / "bolt" / f"{file}.png"))
    assert masks.dtype == np.uint8
    assert np.array_equal(masks[0], np.zeros((8, 8)))
    assert np.array_equal(masks[2], white_corner() // 255)


def test_a_synthetic_class_survives_the_way_over_the_disk(cache):
    images, masks, kinds = synthetic_defects.make("zipper")
    chosen = [0, 1, 12, 20, 28]  # of the test images: two good ones and one of each kind
    for i in range(3):
        save(cache / "mvtec_ad/zipper/train/good" / f"{i:03}.png", images[i, 0].numpy())
    for i in chosen:
        save(cache / "mvtec_ad/zipper/test" / kinds[i] / f"{i:03}.png", images[synthetic_defects.TRAIN + i, 0].numpy())
        if kinds[i] != "good":
            mask = 255 * masks[i].numpy()
            save(cache / "mvtec_ad/zipper/ground_truth" / kinds[i] / f"{i:03}_mask.png", mask)
    found = defects.load("mvtec_ad", "zipper", synthetic_defects.SIDE)
    assert found.images.shape[1] == 1  # a grey class
    assert torch.equal(found.train, images[:3])
    assert torch.equal(found.test, images[[synthetic_defects.TRAIN + i for i in chosen]])
    assert np.array_equal(found.reveal()[0], masks[chosen])
    assert found.reveal()[1] == tuple(kinds[i] for i in chosen)


def test_a_synthetic_class_as_the_notebook_sees_it():
    nut = defects.load("synthetic_defects", "nut")
    images, masks, kinds = synthetic_defects.make("nut")
    assert torch.equal(nut.images, images)
    assert torch.equal(nut.train, images[: synthetic_defects.TRAIN])
    assert np.array_equal(nut.reveal()[0], masks)
    card = nut.card()
    assert card.images.tolist() == [60, 12, 8, 8, 8]
    assert card.index[2] == ("test", "chipped")
    chipped = masks[[kind == "chipped" for kind in kinds]]
    assert card["defective pixels"].iloc[2] == pytest.approx(chipped.float().mean().item())
    assert card["defective pixels"].iloc[0] == card["defective pixels"].iloc[1] == 0


def test_images_of_other_sizes_are_resized_with_their_masks(parts):
    save(parts / "bolt/test/bent/0.png", noise(20, 32))
    save(parts / "bolt/ground_truth/bent/0_mask.png", white_corner(20, 32))
    bolt = load(parts, side=4)
    assert bolt.images.shape == (5, 3, 4, 4)
    assert np.array_equal(bolt.reveal()[0][1], white_corner(4, 4) // 255)


def test_a_resized_pixel_is_defective_where_its_greater_part_was(parts):
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :3] = 255  # three quarters of the first two columns of four, and nothing of the others
    save(parts / "bolt/ground_truth/bent/0_mask.png", mask)
    assert load(parts, side=2).reveal()[0][1].tolist() == [[1, 0], [1, 0]]


def test_a_defect_too_small_for_a_pixel_stays_where_it_is_strongest(parts):
    mask = np.zeros((8, 8), np.uint8)
    mask[1, 6] = 255
    save(parts / "bolt/ground_truth/bent/0_mask.png", mask)
    assert load(parts, side=2).reveal()[0][1].tolist() == [[0, 1], [0, 0]]


def test_a_defect_of_which_nothing_is_left_is_refused(parts):
    save(parts / "bolt/test/bent/0.png", noise(64, 64))
    mask = np.zeros((64, 64), np.uint8)
    mask[0, 0] = 255
    save(parts / "bolt/ground_truth/bent/0_mask.png", mask)
    assert "bent/0_mask.png marks nothing that is left at side=1: choose a larger side" in refused(parts, 1)


def test_grey_images_have_one_channel_unless_one_of_them_is_in_colour(parts):
    for file in (parts / "bolt").glob("*/*/?.png"):
        save(file, noise(channels=1))
    assert load(parts).images.shape == (5, 1, 8, 8)
    save(parts / "bolt/test/bent/0.png", noise())
    assert load(parts).images.shape == (5, 3, 8, 8)


def test_the_checksum_sees_images_masks_and_kinds(parts):
    sums = [load(parts).checksum, load(parts).checksum]
    save(parts / "bolt/ground_truth/bent/0_mask.png", 255 - white_corner())
    sums.append(load(parts).checksum)
    save(parts / "bolt/train/good/0.png", noise())
    sums.append(load(parts).checksum)
    for part in ("test", "ground_truth"):
        (parts / "bolt" / part / "bent").rename(parts / "bolt" / part / "bump")
    sums.append(load(parts).checksum)
    assert sums[0] == sums[1]
    assert len(set(sums)) == 4


def test_what_file_managers_leave_behind_does_not_count(parts):
    (parts / "bolt/test/bent/Thumbs.db").write_bytes(b"")
    (parts / "bolt/test/.DS_Store").write_bytes(b"")
    assert len(load(parts).images) == 5


# --- what is refused -----------------------------------------------------------------------------------------------


def test_unknown_names_and_sizes(parts):
    assert "dataset='mnist' is not known: choose one of synthetic_defects, mvtec_ad" in refusal("mnist", "3")
    assert "class_name='nail' is not a class of folder:" in refusal(f"folder:{parts}", "nail")
    assert "choose bolt" in refusal(f"folder:{parts}", "nail")
    assert "side=0" in refusal(f"folder:{parts}", "bolt", 0)


def test_the_archive_must_be_unpacked(cache):
    told = refusal("mvtec_ad", "bottle")
    assert str(cache / "mvtec_ad") in told
    assert "tar -xf" in told
    (cache / "mvtec_ad").mkdir(parents=True)
    assert "0 images in train/good and nothing in test" in refusal("mvtec_ad", "bottle")


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("train/good/*", "0 images in train/good and 1 good, 1 bent, 1 rust in test"),
        ("test/good/*", "0 good, 1 bent, 1 rust in test"),
        ("test/rust/*", "1 good, 1 bent, 0 rust in test"),
    ],
)
def test_a_part_without_images(parts, gone, told):
    for file in (parts / "bolt").glob(gone):
        file.unlink()
    assert told in refused(parts)


def test_a_class_without_a_defective_image(parts):
    for kind in ("bent", "rust"):
        for file in (parts / "bolt/test" / kind).iterdir():
            file.unlink()
        (parts / "bolt/test" / kind).rmdir()
    assert "2 images in train/good and 1 good in test; at least one" in refused(parts)


def test_a_missing_mask(parts):
    (parts / "bolt/ground_truth/rust/7_mask.png").unlink()
    assert "rust/7_mask.png is missing, the mask of" in refused(parts)


def test_a_mask_of_another_size_names_both(parts):
    save(parts / "bolt/ground_truth/rust/7_mask.png", white_corner(8, 16))
    assert "rust/7_mask.png has 16 x 8 pixels, but its image has 8 x 8" in refused(parts)


def test_a_mask_that_marks_nothing(parts):
    save(parts / "bolt/ground_truth/rust/7_mask.png", white_corner() // 255)  # 0 and 1 look black
    assert "rust/7_mask.png marks no pixel: make the defect white" in refused(parts)


def test_a_mask_of_a_sound_image_may_be_black_and_nothing_else(parts):
    image = next((parts / "bolt/test/good").iterdir())
    mask = parts / f"bolt/ground_truth/good/{image.stem}_mask.png"
    save(mask, np.zeros((8, 8), np.uint8))
    assert not load(parts).reveal()[0][0].any()
    save(mask, white_corner())
    assert f"{mask.name} marks a defect, but" in refused(parts) and "among the sound images" in refused(parts)


@pytest.mark.parametrize("extra", ["rust/9_mask.png", "dent/7_mask.png"])
def test_a_mask_of_no_image(parts, extra):
    save(parts / "bolt/ground_truth" / extra, white_corner())
    assert f"{extra} is the mask of no image in" in refused(parts)


@pytest.mark.parametrize("file", ["train/good/0.png", "test/rust/7.png", "ground_truth/rust/7_mask.png"])
def test_a_file_that_is_no_image(parts, file):
    (parts / "bolt" / file).write_bytes(b"not an image")
    assert f"{file} is not a readable image (no known image format)" in refused(parts)


def test_a_file_beside_the_kinds(parts):
    (parts / "bolt/test/readme.txt").write_text("")
    assert "test/readme.txt lies beside the folders of the kinds" in refused(parts)


# --- masks are read as images are ----------------------------------------------------------------------------------


def redraw(parts: Path, mask: Image.Image, **options) -> None:
    mask.save(parts / "bolt/ground_truth/rust/7_mask.png", **options)


def drawn(mode: str, black, white) -> Image.Image:
    mask = Image.new(mode, (8, 8), black)
    mask.paste(white, (0, 0, 4, 4))
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        drawn("1", 0, 1),
        drawn("L", 10, 240),
        drawn("LA", (0, 255), (255, 255)),
        drawn("RGB", (0, 0, 0), (255, 255, 255)),
        drawn("RGBA", (0, 0, 0, 255), (255, 255, 255, 255)),
        drawn("RGB", (0, 0, 0), (255, 255, 255)).quantize(4),
        Image.fromarray(white_corner().astype(np.uint16) * 257),
    ],
    ids=lambda mask: mask.mode,
)
def test_a_black_and_white_mask_is_read_in_any_mode(parts, mask):
    redraw(parts, mask)
    assert np.array_equal(load(parts).reveal()[0][2], white_corner() // 255)


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (drawn("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)), "it is transparent in places"),
        (drawn("LA", (255, 0), (255, 255)), "it is transparent in places"),
        (drawn("RGBA", (0, 0, 0, 0), (255, 255, 255, 255)), "it is transparent in places"),
        (drawn("RGB", (0, 0, 0), (255, 0, 0)), "it has colours"),
        (drawn("RGB", (0, 0, 0), (255, 255, 0)), "it has colours"),
        (drawn("L", 0, 128), "it has greys"),
        (drawn("L", 100, 255), "it has greys"),
        (Image.fromarray(white_corner().astype(np.uint16) * 100), "it has greys"),
    ],
)
def test_a_mask_that_is_not_black_and_white_is_refused(parts, mask, why):
    redraw(parts, mask)
    assert f"rust/7_mask.png is not black and white ({why}): make the defect white" in refused(parts)


@pytest.mark.parametrize("mask", [drawn("P", 0, 1), drawn("L", 0, 255)], ids=["palette", "grey"])
def test_a_mask_with_a_transparent_colour_is_refused(parts, mask):
    if mask.mode == "P":
        mask.putpalette([255] * 6)
    redraw(parts, mask, transparency=0)
    assert "(it is transparent in places)" in refused(parts)


def test_of_two_marks_a_grey_one_is_not_lost(parts):
    mask = drawn("L", 0, 255)
    mask.paste(90, (6, 6, 8, 8))
    redraw(parts, mask)
    assert "(it has greys)" in refused(parts)


def test_a_soft_edge_is_as_good_as_a_hard_one(parts):
    save(parts / "bolt/test/rust/7.png", noise(40, 40))
    soft = np.zeros((40, 40), np.uint8)
    soft[8:20, 8:20], soft[9:19, 9:19] = 100, 255
    redraw(parts, Image.fromarray(soft))
    assert load(parts, side=40).reveal()[0][2].sum() == 100


def test_image_and_mask_are_turned_alike(parts):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter to the right
    Image.fromarray(noise(8, 16)).save(parts / "bolt/test/rust/7.png", exif=exif)
    mask = Image.new("L", (16, 8))
    mask.paste(255, (0, 0, 4, 8))  # its left quarter is shown on top
    redraw(parts, mask, exif=exif)
    marked = load(parts, side=8).reveal()[0][2]
    assert marked[:2].all() and not marked[2:].any()


def test_masks_that_mark_most_of_their_image_are_told(parts, capsys):
    load(parts)
    assert not capsys.readouterr().err
    redraw(parts, Image.fromarray(255 - white_corner()))
    load(parts)
    told = f"note: 1 of 3 masks mark more than half of their image, such as that of {parts}/bolt/test/rust/7.png"
    assert told in capsys.readouterr().err


def test_two_images_cannot_have_one_mask(parts):
    Image.fromarray(noise()).save(parts / "bolt/test/rust/7.jpg")
    told = refused(parts)
    assert "rust/7.jpg and " in told and "rust/7.png have the same mask, 7_mask.png: give one of them another" in told
    (parts / "bolt/test/rust/7.jpg").rename(parts / "bolt/test/good/0.jpg")
    assert len(load(parts).test) == 4  # sound images need none
    save(parts / "bolt/ground_truth/good/0_mask.png", np.zeros((8, 8), np.uint8))
    assert "have the same mask, 0_mask.png" in refused(parts)


def test_images_that_are_trained_and_tested_on_are_told(parts, capsys):
    (parts / "bolt/test/good/copy.png").write_bytes((parts / "bolt/train/good/1.png").read_bytes())
    load(parts)
    assert "note: 1 of 4 test images are training images as well" in capsys.readouterr().err


def test_a_kind_that_no_figure_shows_is_refused(parts):
    (parts / "bolt/test/bent").rename(parts / "bolt/test/$bent$")
    assert "bolt/test/$bent$ has a $ in its name, which figures take for a formula" in refused(parts)


# --- patches -------------------------------------------------------------------------------------------------------


def test_patches_come_image_by_image_and_row_by_row():
    images = torch.arange(2 * 1 * 4 * 6).view(2, 1, 4, 6)
    cut = defects.patches(images, 2)
    assert cut.shape == (12, 1, 2, 2)
    assert torch.equal(cut[0], images[0, :, :2, :2])
    assert torch.equal(cut[1], images[0, :, :2, 2:4])
    assert torch.equal(cut[3], images[0, :, 2:, :2])
    assert torch.equal(cut[6], images[1, :, :2, :2])


@pytest.mark.parametrize("side", [4, 8, 16])
def test_whole_undoes_patches(side):
    maps = torch.rand(3, side, side, generator=torch.Generator().manual_seed(side))
    assert torch.equal(defects.whole(defects.patches(maps[:, None], 4)[:, 0], side), maps)


def test_patches_must_fill_the_image():
    with pytest.raises(InputError, match="images of 130 x 128 pixels cannot be cut into patches of 128"):
        defects.patches(torch.zeros(1, 1, 130, 128))


def test_augmented_patches_are_turned_cut_outs_of_the_centre():
    images = torch.arange(2 * 20 * 20).view(2, 1, 20, 20)
    seen, turns = set(), set()
    for number, patch in enumerate(defects.augmented(images, 50, seed=1, turn=True, size=4)):
        corner = int(patch.min())
        image, row, column = corner // 400, corner % 400 // 20, corner % 20
        assert image == number // 50
        assert 2 <= row <= 14 and 2 <= column <= 14  # all 4 pixels lie in 2..17
        original = images[image, :, row : row + 4, column : column + 4]
        turn = [torch.equal(torch.rot90(original, k, (1, 2)), patch) for k in range(4)]
        assert sum(turn) == 1
        seen.add(corner)
        turns.add(turn.index(True))
    assert len(seen) > 60
    assert turns == {0, 1, 2, 3}


def test_augmented_patches_keep_upright_where_they_should_and_follow_the_seed():
    images = torch.arange(400).view(1, 1, 20, 20)
    first = defects.augmented(images, 30, seed=1, turn=False, size=4)
    assert all(torch.equal(patch - patch.min(), first[0] - first[0].min()) for patch in first)
    assert torch.equal(first, defects.augmented(images, 30, seed=1, turn=False, size=4))
    assert not torch.equal(first, defects.augmented(images, 30, seed=2, turn=False, size=4))
    assert len(defects.augmented(images, 1, seed=0, turn=False, size=16)) == 1
    with pytest.raises(InputError, match="do not fit into the central 80 % of 20 x 20 pixels"):
        defects.augmented(images, 1, seed=0, turn=False, size=17)
