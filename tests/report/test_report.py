"""The report of a run: the page, what it says, and a run that ends with it."""

import html.parser
import json
import subprocess
import sys

import numpy as np
import pytest
from finished_run import HOSTILE, report_data, unit
from PIL import Image

from fgu_jax import report
from fgu_jax.clustering import clustering
from fgu_jax.config import presets
from fgu_jax.data import Dataset, ImageSet, Labels
from fgu_jax.errors import InputError
from fgu_jax.evaluation.judge import Judge
from fgu_jax.messages import printable
from fgu_jax.report import style
from fgu_jax.report.write import _metrics
from fgu_jax.training import loop


class _Page(html.parser.HTMLParser):
    """What a page links to, its texts, and its elements."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.pictures, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.links += [found[k] for k in ("src", "href", "srcset") if k in found]
        if tag == "img":
            self.pictures.append(found)

    def handle_data(self, text):
        self.texts.append(text)


def _written(folder, data):
    index = report.write(folder, data)
    assert index == folder / "report" / "index.html"
    return index, _Page(index.read_text("utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return _written(tmp_path_factory.mktemp("whole"), report_data())


def test_every_picture_is_there_in_both_themes_and_said_in_words(whole):
    index, page = whole
    stems = ["losses", "clusters", "retrieval", "cmc", "queries", "clusters-largest"]
    stems += ["clusters-mixed", "patches", "plane"]
    expected = {f"{s}-{theme}.png" for s in stems for theme in ("light", "dark")}
    assert {path.name for path in index.parent.iterdir()} == expected | {"index.html"}
    assert [picture["src"] for picture in page.pictures] == [
        f"{s}-light.png" for s in stems
    ]
    for stem, picture in zip(stems, page.pictures, strict=True):
        assert len(picture["alt"]) > 20
        for theme in style.THEMES:
            with Image.open(index.parent / f"{stem}-{theme.name}.png") as image:
                size = int(picture["width"]), int(picture["height"])
                np.testing.assert_allclose(image.size, size, atol=1)
                corner = image.convert("RGB").getpixel((1, 1))
            assert "#{:02x}{:02x}{:02x}".format(*corner) == theme.ground


def test_the_page_links_to_nothing_but_itself(whole):
    index, page = whole
    for link in page.links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in index.read_text("utf-8")
        else:
            assert (index.parent / link).parent == index.parent
            assert (index.parent / link).exists()
    assert "script" not in page.tags
    for word in ("http:", "https:", "//", "@import", "url("):
        assert word not in index.read_text("utf-8")


def test_names_are_text_whatever_they_hold(whole):
    _, page = whole
    shown = "a<script>alert('1')</script>&\"\\n\\xe9.jpg"
    assert printable(HOSTILE) == shown
    assert sum(shown in text for text in page.texts) >= 2  # in clusters, in patches


def test_without_labels_the_loosest_clusters_are_shown(tmp_path):
    data = report_data(labels=False, retrieval=False, evaluated=False)
    index, page = _written(tmp_path, data)
    names = {path.name for path in index.parent.iterdir()}
    assert "clusters-loosest-light.png" in names
    assert not names & {"clusters-mixed-light.png", "cmc-light.png"}
    assert not names & {"queries-light.png", "retrieval-light.png"}
    assert "nothing to evaluate" in " ".join("".join(page.texts).split())


def test_one_image_and_no_epoch_make_a_report(tmp_path):
    data = report_data(1, labels=False, retrieval=False, epochs=0, evaluated=False)
    _, page = _written(tmp_path, data)
    assert [picture["src"] for picture in page.pictures] == ["clusters-light.png"]
    assert "cluster of its own" in "".join(page.texts)


def test_clusters_that_are_not_mixed_are_said_not_drawn(tmp_path):
    labels = Labels(identities=np.arange(8) // 3, cameras=None)
    index, page = _written(tmp_path, report_data(train_labels=labels))
    assert not (index.parent / "clusters-mixed-light.png").exists()
    assert "No cluster holds images of two identities" in "".join(page.texts)


def test_a_report_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    report.write(tmp_path, report_data(retrieval=False, epochs=0))
    before = (tmp_path / "report" / "index.html").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(InputError, match=r"report.*No space left.*--report=false"):
        report.write(tmp_path, report_data())
    assert (tmp_path / "report" / "index.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    monkeypatch.undo()
    report.write(tmp_path, report_data(retrieval=False, epochs=1))
    assert (tmp_path / "report" / "losses-light.png").exists()


def test_drawing_changes_nothing_for_other_users_of_matplotlib():
    import matplotlib as mpl

    with mpl.rc_context({"text.usetex": True, "font.size": 31}):
        before = dict(mpl.rcParams)
        with style.applied(style.DARK):
            assert mpl.rcParams["font.size"] == 9.5
            assert not mpl.rcParams["text.usetex"]
        assert dict(mpl.rcParams) == before


def test_matplotlib_is_loaded_when_a_report_is_written_and_not_before():
    code = "import sys, fgu_jax.report; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": []}, "history has 0 records"),
        ({"names": ("a.jpg",)}, "names has 1 rows and images has 8"),
        ({"clusters": np.arange(9)}, "clusters has 9 rows"),
        ({"patches": np.zeros((2, 7, 4))}, "patches has 7 rows"),
        ({"patches": np.zeros((8, 4))}, "patches has 0 rows"),
        ({"images": np.zeros((8, 16, 8, 3))}, "float64.*give uint8"),
        ({"images": np.zeros((0, 16, 8, 3), np.uint8)}, "at least one"),
        ({"train_labels": Labels(identities=[1, 2], cameras=None)}, "has 2 rows"),
        ({"global_features": np.zeros((8, 5))}, "13 wide"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        report_data(**changes)


class _Bytes:
    def read(self, key):
        import io

        out = io.BytesIO()
        Image.new("RGB", (16, 32), (key * 20, 90, 200 - key * 15)).save(out, "PNG")
        return out.getvalue()


def _image_set(rows):
    names = tuple(f"{row}.png" for row in rows)
    return ImageSet(names=names, keys=tuple(rows), source=_Bytes())


def _small(folder, **changes):
    fields = {
        "preset": "quick-2026-11",
        "backbone": "resnet_micro",
        "image_height": 32,
        "image_width": 16,
        "epochs": 0,
    }
    fields |= {"num_patches": 2, "patch_dim": 8, "num_neighbors": 4, "batch_size": 8}
    return presets.resolve(fields | {"devices": 1, "workdir": str(folder)} | changes)


@pytest.fixture(scope="module")
def dataset():
    labels = Labels(identities=np.arange(10) % 3 + 1, cameras=np.arange(10) % 2)
    return Dataset(
        name="drawn",
        train=_image_set(range(10)),
        train_labels=labels,
        query=_image_set(range(3)),
        query_labels=labels.take(range(3)),
        gallery=_image_set(range(10)),
        gallery_labels=labels,
    )


def test_a_run_ends_with_its_report(dataset, tmp_path):
    run = loop.fit(_small(tmp_path / "run"), dataset, quiet=True)
    page = _Page((run.directory / "report" / "index.html").read_text("utf-8"))
    shown = {picture["src"].removesuffix("-light.png") for picture in page.pictures}
    assert shown == {
        *("clusters", "retrieval", "cmc", "queries", "patches", "plane"),
        *("clusters-largest", "clusters-mixed", "clusters-alike", "clusters-nowhere"),
    }
    text = " ".join("".join(page.texts).split())
    result = json.loads((run.directory / "metrics.jsonl").read_text())
    assert f"{100 * result['fused_rank1']:.1f}%rank-1, fused" in text


def test_what_is_gathered_is_what_the_judge_and_the_network_have(dataset):
    def embed(images):
        flat = images.reshape(len(images), -1)[:, :6].astype(float) + 1
        return unit(flat), np.stack([unit(flat[:, :4]), unit(flat[:, 2:])])

    images = dataset.train.decode(32, 16)
    fields = {"names": dataset.train.names, "images": images, "embed": embed}
    made = clustering(embed(images)[0])
    fields |= {"made": made}
    history = [{"epoch": 0, "clusters": 10}]
    config = _small("unused")
    data = report.gather(config, history, judge=Judge(dataset, 32, 16), **fields)
    assert data.train_labels is dataset.train_labels
    assert data.clusters.tolist() == made.labels.tolist()
    assert data.told[0].startswith(f"{made.num_clusters} clusters")
    gallery = data.retrieval.gallery
    assert gallery.names == dataset.gallery.names
    np.testing.assert_array_equal(gallery.images, images)
    expected = np.concatenate([data.global_features, *data.patches], axis=1)
    np.testing.assert_allclose(gallery.features, expected / np.sqrt(3))
    judge = Judge(dataset, 32, 16)
    judge.network(embed)
    judged = report.gather(config, history, judge=judge, **fields).retrieval.metrics
    assert judged == _metrics(data)  # what the judge found is what the report finds
    blind = report.gather(config, history, judge=Judge(None, 32, 16), **fields)
    assert blind.train_labels is None
    assert blind.retrieval is None
