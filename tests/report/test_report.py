"""The report of a run: what is chosen to be shown, and the page that shows it."""

import html.parser
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fgu_jax import report
from fgu_jax.config import presets
from fgu_jax.data import Dataset, ImageSet, Labels
from fgu_jax.errors import InputError
from fgu_jax.evaluation.judge import Judge, rank
from fgu_jax.messages import printable
from fgu_jax.report import attention, groups, plane, queries, sheet, style
from fgu_jax.report.write import _metrics
from fgu_jax.training import loop

HOSTILE = "a<script>alert('1')</script>&\"\n\udce9.jpg"


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _side(rng, count, width, prefix):
    return report.Ranked(
        names=tuple(f"{prefix}{i}.jpg" for i in range(count)),
        images=rng.integers(0, 255, (count, 16, 8, 3), np.uint8),
        features=_unit(rng.normal(size=(count, width))),
        labels=Labels(
            identities=np.arange(count) % 4 + 1, cameras=np.arange(count) // 4 % 3
        ),
    )


def _history(epochs, *, evaluated):
    figures = {
        f"{part}_{name}": 0.5
        for part in ("fused", "global", "local", "histogram")
        for name in ("rank1", "rank5", "rank10", "mAP", "mINP")
    }
    history = [{"epoch": 0, "clusters": 8} | (figures if evaluated else {})]
    for epoch in range(1, epochs + 1):
        record = {"epoch": epoch, "loss": 2.0 / epoch, "loss_repelled": 1.0}
        record |= {"loss_attracted": 0.0, "loss_patch": 0.5, "clusters": 8 - epoch}
        record |= {"merged": True} if epoch == 2 else {}
        if evaluated:
            record |= figures | {"purity": 0.9, "nmi": 0.8}
        history.append(record)
    return history


def _data(count=8, *, labels=True, retrieval=True, epochs=2, evaluated=True, **changes):
    rng = np.random.default_rng(0)
    fields = {
        "config": presets.resolve({"dataset": "synthetic"}),
        "history": _history(epochs, evaluated=evaluated),
        "names": (HOSTILE, *(f"{i}.jpg" for i in range(1, count))),
        "images": rng.integers(0, 255, (count, 16, 8, 3), np.uint8),
        "clusters": np.arange(count) // 3,
        "patches": _unit(rng.normal(size=(2, count, 4))),
        "global_features": _unit(rng.normal(size=(count, 6))),
    }
    if labels:
        fields["train_labels"] = Labels(identities=np.arange(count) // 2, cameras=None)
    if retrieval:
        fields["retrieval"] = report.Retrieval(
            query=_side(rng, 5, 14, "q"), gallery=_side(rng, 24, 14, "g")
        )
    return report.ReportData(**(fields | changes))


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
    return _written(tmp_path_factory.mktemp("whole"), _data())


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
    data = _data(labels=False, retrieval=False, evaluated=False)
    index, page = _written(tmp_path, data)
    names = {path.name for path in index.parent.iterdir()}
    assert "clusters-loosest-light.png" in names
    assert not names & {"clusters-mixed-light.png", "cmc-light.png"}
    assert not names & {"queries-light.png", "retrieval-light.png"}
    assert "nothing to evaluate" in " ".join("".join(page.texts).split())


def test_one_image_and_no_epoch_make_a_report(tmp_path):
    data = _data(1, labels=False, retrieval=False, epochs=0, evaluated=False)
    _, page = _written(tmp_path, data)
    assert [picture["src"] for picture in page.pictures] == ["clusters-light.png"]
    assert "cluster of its own" in "".join(page.texts)


def test_clusters_that_are_not_mixed_are_said_not_drawn(tmp_path):
    labels = Labels(identities=np.arange(8) // 3, cameras=None)
    index, page = _written(tmp_path, _data(train_labels=labels))
    assert not (index.parent / "clusters-mixed-light.png").exists()
    assert "No cluster holds images of two identities" in "".join(page.texts)


def test_a_report_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    report.write(tmp_path, _data(retrieval=False, epochs=0))
    before = (tmp_path / "report" / "index.html").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(InputError, match=r"report.*No space left.*--report=false"):
        report.write(tmp_path, _data())
    assert (tmp_path / "report" / "index.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    monkeypatch.undo()
    report.write(tmp_path, _data(retrieval=False, epochs=1))
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
        _data(**changes)


def test_marks_differ_by_more_than_colour():
    borders = [sheet._BORDERS[mark][0] for mark in sheet.Mark]
    assert len({mark.value for mark in sheet.Mark}) == 4
    assert len(set(map(str, borders[1:]))) == 3


def test_queries_are_spread_from_the_hardest_to_the_easiest():
    precisions = np.array([0.5, np.nan, 0.1, 0.9, 0.3, 0.7])
    assert queries.spread_queries(precisions, 3).tolist() == [2, 0, 3]
    assert queries.spread_queries(precisions, 99).tolist() == [2, 4, 0, 5, 3]


def _line(identities, cameras, positions):
    """Images on a line, so that distances are plain to see."""
    return report.Ranked(
        names=tuple(map(str, positions)),
        images=np.zeros((len(positions), 4, 2, 3), np.uint8),
        features=np.stack([np.ones(len(positions)), np.array(positions)], axis=1),
        labels=Labels(identities=identities, cameras=cameras),
    )


def test_a_ranking_marks_right_wrong_and_left_out():
    test = report.Retrieval(
        query=_line([7], [1], [0.0]),
        # In the order of distance: own camera, wrong, junk, right.
        gallery=_line([7, 7, 3, -1], [2, 1, 1, 2], [0.4, 0.1, 0.2, 0.3]),
    )
    mark = sheet.Mark
    assert queries.ranking(test, 0) == [
        (1, mark.LEFT_OUT, 0),
        (2, mark.WRONG, 1),
        (3, mark.LEFT_OUT, 0),
        (0, mark.RIGHT, 2),
    ]


def test_a_ranking_agrees_with_the_metrics():
    data = _data()
    test = data.retrieval
    query, gallery = test.query, test.gallery
    metrics = rank(query.features, gallery.features, query.labels, gallery.labels)
    for row in range(len(query.names)):
        found = queries.ranking(test, row)
        assert [place for _, _, place in found if place] == list(range(1, 11))
        rights = [place for _, mark, place in found if mark is sheet.Mark.RIGHT]
        first = metrics.first_matches[row]
        assert rights[:1] == ([first] if first <= 10 else [])


def test_at_most_three_of_what_is_left_out_are_listed():
    positions = np.arange(30) / 10
    gallery = _line([7] * 8 + [3] * 22, [1] * 30, positions)
    found = queries.ranking(
        report.Retrieval(query=_line([7], [1], [0.0]), gallery=gallery), 0
    )
    assert [row for row, _, _ in found] == [0, 1, 2, *range(8, 18)]


def test_nearest_patches_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    patches = _unit(rng.normal(size=(3, 20, 5)))
    found = attention.nearest_patches(patches, 4, 6)
    for u in range(3):
        gaps = [np.sum((patches[u, 4] - x) ** 2) for x in patches[u]]
        others = [j for j in range(20) if j != 4]
        assert found[u].tolist() == sorted(others, key=lambda j: gaps[j])[:6]


def test_clusters_are_chosen_by_size_by_mixture_and_by_spread():
    identities = np.array([1, 1, 1, 1, 2, 3, 3, 4, 5, 5])
    clusters = np.array([9, 9, 9, 9, 4, 4, 4, 4, 0, 0])
    features = np.zeros((10, 2))
    features[:, 0] = [0, 0, 0, 0, 0, 0.1, 0.1, 0.2, -3, 3]
    data = _data(
        10,
        retrieval=False,
        clusters=clusters,
        train_labels=Labels(identities=identities, cameras=None),
        global_features=features,
    )

    def titles(picture):
        return [heading.split(":")[0] for heading, _ in picture.listing]

    assert titles(groups.largest(data)) == ["cluster 4", "cluster 9", "cluster 0"]
    assert titles(groups.mixed(data)) == ["cluster 4"]
    # Clusters of two are left out where there are larger ones.
    assert titles(groups.loosest(data)) == ["cluster 4", "cluster 9"]
    heading, names = groups.mixed(data).listing[0]
    assert heading == "cluster 4: 4 images, 3 identities, purity 0.50"
    assert names == ("5.jpg", "6.jpg", "4.jpg", "7.jpg")


def test_there_may_be_no_cluster_to_show():
    data = _data(clusters=np.arange(8), labels=False)
    assert groups.largest(data) is groups.loosest(data) is groups.mixed(data) is None


def test_affine_windows_are_said_to_have_moved():
    config = presets.resolve({"patch_generator": "affine"})
    moved = attention.patch_neighbours(_data(config=config)).caption
    assert "may have moved" in moved
    assert "may have moved" not in attention.patch_neighbours(_data()).caption


def test_images_of_unknown_identity_are_neither_right_nor_wrong():
    labels = Labels(identities=[-1, -1, -1, 1, 1, 2, -1, 2], cameras=None)
    data = _data(clusters=np.array([0, 0, 0, 1, 1, 1, 1, 2]), train_labels=labels)
    assert [h for h, _ in groups.mixed(data).listing] == [
        "cluster 1: 4 images, 2 identities, purity 0.67"
    ]
    heading = groups.largest(data).listing[1][0]
    assert heading == "cluster 0: 3 images, 0 identities"


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (2, 1), (1, 3)])
def test_principal_components_are_those_of_the_svd(shape):
    features = np.random.default_rng(2).normal(size=shape)
    points, share = plane.principal_components(features)
    centred = features - features.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(left * size), atol=1e-7)
    assert (points.max(axis=0) >= -points.min(axis=0) - 1e-7).all()
    total = (size**2).sum()
    expected = size**2 / total if total else np.zeros_like(size)
    np.testing.assert_allclose(share, expected, atol=1e-12)


def test_without_scikit_learn_the_plane_is_pca_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    features = np.random.default_rng(3).normal(size=(30, 8))
    points, method = plane.project(features, 0)
    expected = plane.principal_components(features)[0][:, :2]
    np.testing.assert_array_equal(points, expected)
    assert method.startswith("PCA")
    assert "with scikit-learn installed" in plane.plane(_data()).caption


def test_with_scikit_learn_the_plane_keeps_neighbours():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(4)
    group = np.repeat(np.arange(3), 12)
    features = 9 * np.eye(3, 16)[group] + rng.normal(size=(36, 16)) / 3
    points, method = plane.project(features, 0)
    assert method.startswith("t-SNE")
    assert points.shape == (36, 2)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(36)
    np.testing.assert_array_equal(group[gaps.argmin(axis=1)], group)
    np.testing.assert_array_equal(points, plane.project(features, 0)[0])


def test_equal_features_have_a_place_in_the_plane():
    points, method = plane.project(np.ones((9, 4)), 0)
    assert np.isfinite(points).all()
    assert method.startswith("PCA")


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
    fields = {"preset": "quick", "image_height": 32, "image_width": 16, "epochs": 0}
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
    assert shown == {"clusters", "retrieval", "cmc", "queries", "patches", "plane"}
    text = " ".join("".join(page.texts).split())
    result = json.loads((run.directory / "metrics.jsonl").read_text())
    assert f"{100 * result['fused_rank1']:.1f}%rank-1, fused" in text


def test_what_is_gathered_is_what_the_judge_and_the_network_have(dataset):
    def embed(images):
        flat = images.reshape(len(images), -1)[:, :6].astype(float) + 1
        return _unit(flat), np.stack([_unit(flat[:, :4]), _unit(flat[:, 2:])])

    images = dataset.train.decode(32, 16)
    fields = {"names": dataset.train.names, "images": images, "embed": embed}
    fields |= {"clusters": np.arange(10)}
    history = [{"epoch": 0, "clusters": 10}]
    config = _small("unused")
    data = report.gather(config, history, judge=Judge(dataset, 32, 16), **fields)
    assert data.train_labels is dataset.train_labels
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
