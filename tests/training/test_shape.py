"""The size of images by the data's proportions, and how long a run will take."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from small_run import SMALL_RUN

import fgu_jax
from fgu_jax.config import Config, presets
from fgu_jax.data import load_dataset
from fgu_jax.data.looks import proportions
from fgu_jax.errors import InputError
from fgu_jax.networks import check_num_patches
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.training import appearance, session
from fgu_jax.training.checks import validate_before_data
from fgu_jax.training.estimate import Estimate, duration
from fgu_jax.training.shape import shaped, size_like


@pytest.mark.parametrize("ratio", [0.4, 0.6, 0.75, 1.0, 1.3, 2.0, 2.6, 3.0, 5.0])
@pytest.mark.parametrize("area", [128 * 64, 256 * 128, 384 * 128])
def test_a_size_has_about_the_area_and_the_proportions(ratio, area):
    height, width = size_like(ratio, area)
    assert 0.6 < height * width / area < 1.6
    assert 0.7 < height / width / ratio < 1.4
    assert height % 16 == width % 16 == 0


def test_people_keep_two_or_three_to_one():
    assert size_like(2.0, 128 * 64) == (128, 64)
    assert size_like(2.0, 256 * 128) == (256, 128)
    assert size_like(3.0, 384 * 128) == (384, 128)


@pytest.mark.parametrize("ratio", [0.05, 80 / 256, 60 / 420, 0.4, 2.0, 5.2, 7.0, 40.0])
@pytest.mark.parametrize("handcrafted", ["none", "lomo", "bow", "both"])
def test_a_size_is_none_that_features_made_by_hand_refuse(ratio, handcrafted):
    config = Config(handcrafted=handcrafted, image_height=128, image_width=64)
    least = appearance.least_size(config)
    height, width = size_like(ratio, 128 * 64, least=least)
    found = dataclasses.replace(config, image_height=height, image_width=width)
    appearance.validate(found)
    anyhow = size_like(ratio, 128 * 64)
    fits = anyhow[0] >= least[0] and anyhow[1] >= least[1]
    assert not fits or (height, width) == anyhow


@pytest.mark.parametrize(("width", "height"), [(256, 80), (420, 60), (60, 420)])
def test_laptop_takes_pictures_of_any_proportions(folder, width, height):
    given = {"dataset": "folder", "data_dir": str(folder(width, height))}
    config = presets.resolve({"preset": "laptop"} | given)
    found, _ = shaped(config, None, Console(quiet=True))
    validate_before_data(found, make_mesh(1))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"handcrafted": "both", "image_height": 48},
            "48 x 128: handcrafted 'both' takes 64 x 40 or more: give image_height 64",
        ),
        (
            {"handcrafted": "lomo", "image_width": 32},
            "384 x 32: handcrafted 'lomo' takes 40 x 40 or more: give image_width 40 "
            "or more, or handcrafted none$",
        ),
    ],
)
def test_a_size_that_is_too_small_is_refused_with_what_to_give(given, says):
    with pytest.raises(InputError, match=says):
        appearance.validate(Config(**given))


@pytest.fixture
def folder(tmp_path):
    def made(width, height, count=6, orientation=None):
        exif = Image.Exif()
        if orientation:
            exif[0x0112] = orientation
        for k in range(count):
            picture = Image.new("RGB", (width, height), (40 * k, 9, 9))
            picture.save(tmp_path / f"{k}.jpg", exif=exif)
        return tmp_path

    return made


def test_the_middle_picture_decides_and_is_told(folder):
    config = presets.resolve(
        {"preset": "laptop", "dataset": "folder", "data_dir": str(folder(120, 90))}
    )
    assert config.image_shape == "data"
    console = Console(record=True, width=200)
    found, data = shaped(config, None, console)
    assert (found.image_height, found.image_width) == size_like(0.75, 128 * 64)
    assert found.image_shape == "given"
    assert len(data.train) == 6
    check_num_patches(
        found.backbone, found.image_height, found.image_width, found.num_patches
    )
    assert "the middle one is 0.75 times as high as wide" in console.export_text()
    assert shaped(found, data, console) == (found, data)  # told once


def test_turned_photographs_are_measured_as_they_are_looked_at(folder):
    images = load_dataset("folder", data_dir=folder(120, 60, orientation=6)).train
    assert proportions(images) == 2.0


def test_a_size_that_was_given_stays(folder):
    given = {"preset": "laptop", "dataset": "folder", "data_dir": str(folder(120, 90))}
    config = presets.resolve(given | {"image_width": "48"})
    assert (config.image_height, config.image_width) == (128, 48)
    assert config.image_shape == "given"


def test_arrays_tell_their_size_and_lists_do_not():
    config = Config(image_shape="data", image_height=128, image_width=64)
    console = Console(quiet=True)
    found, _ = shaped(config, np.zeros((4, 50, 50, 3), np.uint8), console)
    assert (found.image_height, found.image_width) == size_like(1.0, 128 * 64)
    with pytest.raises(InputError, match="give image_height and image_width"):
        shaped(config, [np.zeros((50, 50, 3), np.uint8)], console)


def test_larger_is_laptop_at_twice_the_height_and_width(folder):
    crops = folder(120, 90)
    of_folder = {"dataset": "folder", "data_dir": str(crops), "backbone": "resnet18"}
    data, console = load_dataset("folder", data_dir=crops), Console(record=True)
    small, _ = shaped(presets.resolve({"preset": "laptop"} | of_folder), data, console)
    (crops / "config.json").write_text(small.to_json())
    config = presets.resolve({"preset": "larger", "init": str(crops)})
    large, _ = shaped(config, data, console)
    assert large.image_height == 2 * small.image_height
    assert large.image_width == 2 * small.image_width
    assert large.num_patches == small.num_patches
    assert large.backbone == "resnet18"
    assert large.image_shape == "given"
    for init in ("imagenet", str(crops / "0.jpg")):
        config = presets.resolve({"preset": "larger", "init": init})
        with pytest.raises(InputError, match="which is no run's folder: give --init"):
            shaped(config, data, console)
    given = presets.resolve({"preset": "larger", "dataset": "market1501"})
    assert (given.image_height, given.image_width) == (256, 128)


def test_larger_at_a_given_size_takes_the_network_all_the_same(tmp_path):
    of_run = {"backbone": "resnet_tiny", "pooling": "gem", "num_patches": 2}
    start = presets.resolve({"preset": "tuned", **of_run})
    (tmp_path / "config.json").write_text(start.to_json())
    asked = {"preset": "larger", "init": str(tmp_path), "image_height": 192}
    console = Console(record=True, width=500)
    found, _ = shaped(presets.resolve(asked), None, console)
    assert {name: getattr(found, name) for name in of_run} == of_run
    assert (found.image_height, found.image_width) == (192, 128)
    assert found.image_shape == "given"
    told = console.export_text()
    assert f"192 x 128 (height x width), as given; {tmp_path}'s resnet_tiny" in told
    for more in ({}, {"image_height": 128}):
        with pytest.raises(InputError, match="pooling is 'mean', and the network of"):
            presets.resolve({"preset": "larger", "pooling": "mean", **more})


def test_paper_and_tuned_have_the_size_that_they_had():
    for preset in ("paper", "tuned", "quick"):
        assert presets.resolve({"preset": preset}).image_shape == "given"


def test_the_record_of_a_run_has_its_size(folder, tmp_path):
    run = tmp_path / "run"
    config = presets.resolve(
        {
            **SMALL_RUN,
            "dataset": "folder",
            "data_dir": str(folder(60, 30, count=12)),
            "workdir": str(run),
            "image_shape": "data",
        }
        | {"image_height": 48, "image_width": 32, "image_shape": "data"}
    )
    made = fgu_jax.fit(config, quiet=True)
    stored = json.loads((run / "config.json").read_text())
    assert stored["image_shape"] == "given"
    size = (stored["image_height"], stored["image_width"])
    assert size == size_like(0.5, 48 * 32)
    assert size == (made.config.image_height, made.config.image_width)


def test_the_estimate_counts_steps_and_regroupings(monkeypatch):
    config = presets.resolve({"preset": "tuned", "dataset": "market1501"})
    said, clock = [], iter([0.0, 3.0, 7.0, 11.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    calls = []
    told = Estimate(
        config, 1, 60.0, progress=lambda *call: calls.append(call), say=said.append
    )
    for done in (2, 5, 9, 13):
        told(done, 100, "epoch 1")
    assert len(calls) == 4
    # 7 steps in 7 s; 16 epochs of 100 less 9, and as many regroupings of a minute.
    between = 60 * sum(map(config.regroups_after, range(1, 17)))
    assert said == [
        f"about {duration(1600 - 9 + between)} to go here: 16 epochs of 100 steps of "
        f"1 s, {duration(between)} of it for new clusters"
    ]


def test_an_epoch_of_a_few_steps_is_told_at_its_end(monkeypatch):
    config = presets.resolve({"preset": "laptop", "dataset": "folder"})
    said, clock = [], iter([10.0, 12.0, 24.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    told = Estimate(config, 1, 0.0, progress=lambda *call: None, say=said.append)
    told(1, 15, "epoch 1")
    told(15, 15, "epoch 1")
    told.finish()
    assert said == [
        f"about {duration(16 * 15 - 15)} to go here: 16 epochs of 15 steps of 1 s"
    ]


def test_a_stop_within_the_epoch_tells_of_the_steps_that_were_done(monkeypatch):
    config = presets.resolve({"preset": "laptop", "dataset": "folder"})
    said, clock = [], iter([10.0, 13.0, 14.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    told = Estimate(config, 1, 0.0, progress=lambda *call: None, say=said.append)
    told(1, 100, "epoch 1")
    told(3, 100, "epoch 1")
    told.finish()
    # 2 steps in 4 s; 97 of this epoch and 15 epochs of 100 are left.
    assert said == [
        f"about {duration(2 * (1600 - 3))} to go here: 16 epochs of 100 steps of 2 s"
    ]


def test_steps_that_were_not_done_tell_nothing(monkeypatch):
    said, clock = [], iter([10.0, 20.0, 30.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    told = Estimate(Config(), 1, None, progress=lambda *call: None, say=said.append)
    told(1, 100, "epoch 1")
    told(1, 100, "epoch 1")
    told.finish()
    assert not said


def test_new_clusters_that_were_not_timed_yet_are_told_as_not_counted():
    config = presets.resolve({"preset": "laptop", "dataset": "folder"})
    quiet = {"progress": lambda *call: None, "say": print}
    line = Estimate(config, 5, None, **quiet).line(1.0, 1, 100)
    assert line.endswith(
        "12 epochs of 100 steps of 1 s, new clusters (12 times) not counted: not timed "
        "yet"
    )
    never = presets.resolve({"preset": "paper", "merge_fraction": 0.0})
    assert "clusters" not in Estimate(never, 5, None, **quiet).line(1.0, 1, 100)


def test_a_session_that_goes_on_has_timed_no_new_clusters(monkeypatch):
    given = []

    def estimate(config, epoch, regrouping, **rest):
        given.append(regrouping)
        return SimpleNamespace(finish=lambda: None)

    monkeypatch.setattr(session, "Estimate", estimate)
    for spent in ({}, {"regrouping": 3.0}):
        of_run = SimpleNamespace(
            spent=spent, config=Config(), tracker=SimpleNamespace(console=Console())
        )
        with session.Session.timed(of_run, 7, print):
            pass
    assert given == [None, 3.0]


def test_a_long_run_without_an_accelerator_names_the_preset_that_fits():
    config = presets.resolve({"preset": "paper", "dataset": "market1501"})
    told = Estimate(config, 1, 0.0, progress=lambda *call: None, say=print)
    assert told.line(30.0, 1, 400).endswith(
        "; --preset=laptop is for machines without an accelerator"
    )
    assert "laptop" not in told.line(0.01, 1, 40)
    small = presets.resolve({"preset": "laptop", "dataset": "folder"})
    told = Estimate(small, 1, 0.0, progress=lambda *call: None, say=print)
    assert "--preset" not in told.line(30.0, 1, 400)
