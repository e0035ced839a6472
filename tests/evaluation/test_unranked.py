"""Labels that rank nothing: training goes on, and says what it cannot tell."""

import dataclasses

import numpy as np
import pytest
from drawn_trees import put
from small_run import SMALL_RUN

import fgu_jax
from fgu_jax.config import presets
from fgu_jax.data import Labels, Settings, load_dataset
from fgu_jax.errors import InputError
from fgu_jax.evaluation import score as scoring
from fgu_jax.evaluation.judge import Judge
from fgu_jax.evaluation.matches import any_stranger
from fgu_jax.training import loop


@pytest.fixture(scope="module")
def one_camera(tmp_path_factory):
    """Six people, each under a camera of their own; no query finds another image."""
    settings = Settings(train_identities=6, test_identities=2, distractors=0, junk=0)
    folder = tmp_path_factory.mktemp("data")
    drawn = load_dataset("synthetic", data_dir=folder, settings=settings)

    def alone(labels):
        return Labels(identities=labels.identities, cameras=labels.identities)

    return dataclasses.replace(
        drawn,
        train_labels=alone(drawn.train_labels),
        query_labels=alone(drawn.query_labels),
        gallery_labels=alone(drawn.gallery_labels),
    )


def test_a_run_warns_trains_and_can_be_read(one_camera, tmp_path, capsys):
    settings = SMALL_RUN | {"epochs": 1, "merge_fraction": 0}
    config = presets.resolve(settings | {"workdir": str(tmp_path / "run")})
    run = loop.fit(config, one_camera)
    said = capsys.readouterr().out
    count, total = len(one_camera.query), len(one_camera.gallery)
    line = (
        f"warning: nothing to evaluate: none of {count} queries has a match among "
        f"{total} gallery images (images of its identity and another camera): leave "
        "the camera out of the pattern or table, to rank within a camera\n"
    )
    assert said.count(line) == 1
    assert [record["epoch"] for record in run.history] == [0, 1]
    assert not any("mAP" in name for record in run.history for name in record)
    assert "nmi" in run.history[1]  # clusters can still be compared
    with pytest.raises(InputError, match=f"none of {count} queries has a match"):
        scoring.score(fgu_jax.load(run.directory), one_camera)


def test_a_method_that_only_evaluates_refuses(one_camera, tmp_path):
    config = presets.resolve({"method": "lomo", "workdir": str(tmp_path / "run")})
    with pytest.raises(InputError, match=r"nothing to evaluate: none of .* queries"):
        loop.fit(config, one_camera, quiet=True)
    assert not (tmp_path / "run").exists()


def test_one_match_is_enough(one_camera):
    cameras = np.array(one_camera.gallery_labels.cameras)
    cameras[-1] += 50
    labels = dataclasses.replace(one_camera.gallery_labels, cameras=cameras)
    judge = Judge(dataclasses.replace(one_camera, gallery_labels=labels), 32, 16)
    assert judge.warning is None
    assert judge.test is not None
    assert Judge(one_camera, 32, 16).test is None
    assert Judge(None, 32, 16).warning is None


class _Colours:
    """Stands for a trained network: its one feature is the mean colour."""

    def of_set(self, images, **_):
        pixels = images.decode(32, 16).astype(np.float32).mean(axis=(1, 2))
        return {"fused": pixels / np.linalg.norm(pixels, axis=1, keepdims=True)}


def test_images_of_nobody_known_are_no_strangers_to_search_among(tmp_path):
    rows = [f"{k}.png,{'rex' if k < 2 else ''}" for k in range(6)]
    for k in range(6):
        put(tmp_path / "images" / f"{k}.png", k, k)
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["image,identity", *rows]) + "\n")
    data = load_dataset("folder", data_dir=tmp_path / "images", table=table)
    found = scoring.score(_Colours(), data)
    assert found["rows"][0]["mAP"] == 1  # rex's other image is all that is ranked
    assert found["open_set"] == {}


def test_a_copy_under_another_name_is_no_stranger():
    query = Labels(identities=[1], cameras=None, copies=[0])
    gallery = Labels(identities=[1, 2], cameras=None, copies=[-1, 0])
    assert not any_stranger(query, gallery)
    assert any_stranger(query, dataclasses.replace(gallery, copies=[-1, -1]))
