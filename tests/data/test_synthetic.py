"""Drawn pedestrians: same seed same bytes, Market's layout, whole or not there."""

import errno
import os
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgu_jax.data import Settings, load_dataset
from fgu_jax.data.synthetic import write
from fgu_jax.data.synthetic.camera import photograph, set_up
from fgu_jax.data.synthetic.shapes import Canvas
from fgu_jax.data.synthetic.wardrobe import PALETTE, dress
from fgu_jax.errors import InputError
from fgu_jax.handcrafted.histogram import color_histogram

SMALL = Settings(
    train_identities=3, test_identities=3, cameras=3, distractors=2, junk=2
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    return folder, load_dataset("synthetic", data_dir=folder, settings=SMALL)


def everything(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_same_seed_same_bytes_whatever_the_threads(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    again = write.write_synthetic(SMALL, tmp_path)
    first = drawn[0] / again.name
    assert everything(again) == everything(first)
    other = write.write_synthetic(replace(SMALL, seed=1), tmp_path)
    assert other.name != again.name
    shared = set(everything(other)) & set(everything(again)) - {"settings.json"}
    assert all(everything(other)[n] != everything(again)[n] for n in shared)


def test_an_identity_does_not_depend_on_how_many_there_are(drawn, tmp_path):
    few = write.write_synthetic(replace(SMALL, train_identities=2), tmp_path)
    many = drawn[0] / f"synthetic-{SMALL.digest()}"
    for name in os.listdir(few / "bounding_box_train"):
        a, b = (root / "bounding_box_train" / name for root in (few, many))
        assert a.read_bytes() == b.read_bytes()


def test_it_is_reused(drawn, monkeypatch):
    monkeypatch.setattr(write, "_draw_all", None)
    again = load_dataset("synthetic", data_dir=drawn[0], settings=SMALL)
    assert again.train.names == drawn[1].train.names


def test_it_has_the_layout_of_market(drawn):
    data = drawn[1]
    assert set(data.train_labels.identities.tolist()) == {1, 2, 3}
    assert set(data.query_labels.identities.tolist()) == {4, 5, 6}
    assert set(data.gallery_labels.identities.tolist()) == {0, 4, 5, 6}
    assert data.found["junk images"] == 2
    # Every query can be found on another camera.
    for who, camera in zip(
        data.query_labels.identities, data.query_labels.cameras, strict=True
    ):
        same = data.gallery_labels.identities == who
        assert (same & (data.gallery_labels.cameras != camera)).any()
    with Image.open(data.train.source.root / data.train.keys[0]) as image:
        assert image.size == (64, 128)
        assert image.format == "JPEG"
    # Cameras see an identity twice: the test's first picture is the query.
    pairs = np.stack([data.train_labels.identities, data.train_labels.cameras], 1)
    assert (np.unique(pairs, axis=0, return_counts=True)[1] == 2).all()


def test_a_drawing_that_fails_leaves_nothing_that_loads(tmp_path, monkeypatch):
    calls = []

    def full(image, *arguments, **options):
        calls.append(1)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match="No space left on device"):
        load_dataset("synthetic", data_dir=tmp_path, settings=SMALL)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another data_dir"):
        load_dataset("synthetic", data_dir=tmp_path / "file" / "x", settings=SMALL)


def test_leftovers_of_a_killed_drawing_are_removed_later(tmp_path):
    killed = f"""
import os
import subprocess
import sys
from pathlib import Path
from fgu_jax.files import whole_folder
with whole_folder(Path("synthetic-{SMALL.digest()}")):
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, check=True)
    [left] = tmp_path.iterdir()
    for path in (left / "new", left):
        os.utime(path, (1, 1))
    (tmp_path / "newer").write_text("")
    write.write_synthetic(SMALL, tmp_path)
    assert not left.exists()


def test_progress_reaches_its_end(tmp_path):
    calls = []
    write.write_synthetic(SMALL, tmp_path, lambda *call: calls.append(call))
    assert calls[-1][0] == calls[-1][1] == len(write.plan(SMALL))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("difficulty", 1.5),
        ("cameras", 1),
        ("images_per_camera", 1),
        ("seed", -1),
        ("tint", -0.1),
        ("colors", 15),
        ("shade", 0.7),
        ("train_identities", 9990),
    ],
)
def test_bad_settings(name, value):
    with pytest.raises(InputError, match=str(value)):
        Settings(**{name: value})


def test_every_setting_names_another_folder():
    one: Any = Settings()
    for field in fields(Settings):
        value: Any = getattr(one, field.name)
        if value is None:
            value = 3 if field.name == "colors" else 0.2
        other: Any = value * 0.5 if isinstance(value, float) else value + 1
        assert replace(one, **{field.name: other}).digest() != one.digest()


def test_difficulty_takes_colors_away():
    assert Settings(difficulty=0).palette_size == len(PALETTE)
    sizes = [Settings(difficulty=d).palette_size for d in (0, 0.5, 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= 2


def test_at_difficulty_0_cameras_change_no_color():
    camera = set_up(Settings(difficulty=0), 1)
    assert (camera.gain, camera.gamma, camera.blur, camera.noise) == (1, 1, 0, 0)
    np.testing.assert_array_equal(camera.tint, 1)


def test_a_pedestrian_stands_in_the_picture_and_looks_like_itself():
    settings = Settings(difficulty=0)
    camera = set_up(settings, 1)
    people = [dress(settings.random(0, i), settings) for i in range(8)]
    shots = np.stack(
        [
            photograph(settings, camera, p, i, 1, t)
            for i, p in enumerate(people)
            for t in (0, 1)
        ]
    )
    assert shots.shape == (16, 128, 64, 3)
    features = color_histogram(shots)
    same = (features[::2] * features[1::2]).sum(1)
    other = (features[::2] * np.roll(features[1::2], 2, 0)).sum(1)
    assert same.mean() > other.mean() + 0.05


def test_tube_turns_its_front_away():
    front, back = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])

    def texture(angle, share):
        return np.where((np.abs(angle) < np.pi / 2)[..., None], front, back)

    def middle(turn):
        canvas = Canvas(32, 16, 2)
        canvas.tube((0, 0.1), (0, 0.9), [(0, 0.2), (1, 0.2)], texture, turn=turn)
        rgb, alpha = canvas.shrink()
        assert alpha[16, 8] == 1
        assert alpha[0, 0] == 0
        return rgb[16, 5], rgb[16, 8], rgb[16, 10]

    assert middle(0)[1].argmax() == 0
    assert middle(np.pi)[1].argmax() == 2
    # Walking to the right, the front is on the right.
    left, _, right = middle(np.pi / 2)
    assert left.argmax() == 2
    assert right.argmax() == 0


def test_antialiasing_covers_by_area():
    canvas = Canvas(8, 8, 4)
    canvas.box((0, 0.5), (0.25, 0.1875), np.ones(3), rounding=0)
    _, alpha = canvas.shrink()
    assert abs(alpha.sum() / 64 - 0.5 * 0.375) < 0.04
    assert ((alpha > 0) & (alpha < 1)).any()


def test_what_lies_outside_the_canvas_is_left():
    canvas = Canvas(8, 4, 2)
    canvas.box((3, 3), (0.1, 0.1), np.ones(3))
    canvas.limb((3, 3), (4, 4), (0.1, 0.1), [(1.0, np.ones(3))])
    canvas.tube((3, 0.2), (3, 0.1), [(0, 0.1), (1, 0.1)], lambda a, s: a[..., None])
    assert canvas.alpha.sum() == 0


def test_histogram_by_hand():
    image = np.zeros((1, 2, 4, 3), np.uint8)
    image[0, 0] = (255, 0, 0)
    image[0, 1, :2] = (0, 0, 255)
    image[0, 1, 2:] = 255
    got = color_histogram(image, stripes=2, bins=6, centre=np.inf)[0]
    cells = {int(i): float(got[i]) for i in np.flatnonzero(got)}
    # Cells are ((stripe * 6 + hue) * 3 + saturation) * 3 + value.
    red, blue, white = (0 * 3 + 2) * 3 + 2, 54 + (4 * 3 + 2) * 3 + 2, 54 + 2
    want = {red: np.sqrt(0.5), blue: 0.5, white: 0.5}
    assert cells.keys() == want.keys()
    assert all(abs(cells[i] - want[i]) < 1e-6 for i in want)
    narrow = color_histogram(image, stripes=2, bins=6)[0]
    np.testing.assert_allclose(narrow, got, atol=1e-6)


def test_histogram_is_unit_and_refuses_floats():
    images = np.random.default_rng(0).integers(0, 256, (3, 13, 7, 3), np.uint8)
    norms = np.linalg.norm(color_histogram(images, stripes=5), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    with pytest.raises(InputError, match="uint8"):
        color_histogram(images / 255)
    with pytest.raises(InputError, match="1 to 13 stripes"):
        color_histogram(images, stripes=14)
