"""The pictures of a report: what is chosen to be shown, and how it is marked."""

import dataclasses
import sys

import numpy as np
import pytest
from finished_run import report_data, unit

from fgu_jax import report
from fgu_jax.config import presets
from fgu_jax.data import Labels
from fgu_jax.evaluation.judge import rank
from fgu_jax.report import attention, curves, groups, plane, queries, sheet, style


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


def test_copies_of_the_querys_file_are_left_out_as_the_figures_leave_them():
    query, gallery = (
        _line([7], [1], [0.0]),
        # In the order of distance: a copy under another camera, one under another
        # name, a file that two others have, right.
        _line([7, 3, 7, 7], [2, 2, 2, 2], [0.1, 0.2, 0.3, 0.4]),
    )
    query, gallery = (
        dataclasses.replace(
            side, labels=dataclasses.replace(side.labels, copies=np.array(copies))
        )
        for side, copies in ((query, [5]), (gallery, [5, 5, 6, -1]))
    )
    mark = sheet.Mark
    test = report.Retrieval(query=query, gallery=gallery)
    assert queries.ranking(test, 0) == [
        (0, mark.LEFT_OUT, 0),
        (1, mark.LEFT_OUT, 0),
        (2, mark.RIGHT, 1),
        (3, mark.RIGHT, 2),
    ]
    metrics = rank(query.features, gallery.features, query.labels, gallery.labels)
    assert metrics.first_matches[0] == 1
    caption = queries.queries(test, metrics).caption
    assert "or as a copy of the query's file" in caption


def test_a_ranking_agrees_with_the_metrics():
    data = report_data()
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
    patches = unit(rng.normal(size=(3, 20, 5)))
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
    data = report_data(
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
    data = report_data(clusters=np.arange(8), labels=False)
    assert groups.largest(data) is groups.loosest(data) is groups.mixed(data) is None


def test_affine_windows_are_said_to_have_moved():
    config = presets.resolve({"patch_generator": "affine"})
    moved = attention.patch_neighbours(report_data(config=config)).caption
    assert "may have moved" in moved
    assert "may have moved" not in attention.patch_neighbours(report_data()).caption


def legend(picture):
    """What the legends of a picture's panels say."""
    drawn = picture.draw(style.LIGHT)
    return [
        text.get_text()
        for panel in drawn.axes
        if panel.get_legend() is not None
        for text in panel.get_legend().get_texts()
    ]


@pytest.mark.parametrize(
    ("labels", "start"),
    [("", "untrained"), ("started from labels of duke: 2 identities", "start")],
)
def test_the_cmc_is_compared_with_what_the_run_started_from(labels, start):
    data = report_data()
    query, gallery = data.retrieval.query, data.retrieval.gallery
    found = rank(query.features, gallery.features, query.labels, gallery.labels)
    metrics = dict.fromkeys(("fused", "global", "local"), found)
    picture = curves.cmc(metrics, data.history, labels)
    assert legend(picture)[3:] == [f"{start}, fused", "colour histogram"]
    assert picture.caption.endswith(f"The run {labels}." if labels else "queries.")


@pytest.mark.parametrize(
    ("given", "patch", "done", "steps"),
    [
        (
            {"preset": "paper"},
            "patch (PEDAL), eq (6)",
            "merged",
            "A merge step removes",
        ),
        (
            {"preset": "quick"},
            "patch, repelled as eq (2)",
            "made anew",
            "Clusters are made anew: single images merge up to a distance.",
        ),
        (
            {"preset": "tuned", "merge_from": "clusters", "smooth_patches": 1},
            "patch, target smoothed",
            "merged",
            "A merge step merges clusters on, up to a distance.",
        ),
        (
            {"preset": "paper", "merge_from": "images"},
            "patch (PEDAL), eq (6)",
            "made anew",
            "Clusters are made anew of single images, each time fewer by",
        ),
        ({"method": "pul"}, "", "made anew", "K-means makes all clusters anew."),
        ({"method": "spcl"}, "", "made anew", "DBSCAN makes all clusters anew, up to"),
        ({"method": "paul"}, "", "merged", "No clusters merge."),
    ],
)
def test_the_charts_of_training_say_what_the_run_did(given, patch, done, steps):
    config = presets.resolve(given)
    history = report_data().history
    picture = curves.losses(history, config)
    assert picture.caption.endswith(f"clusters were {done} after that epoch.")
    titles = [panel.get_title() for panel in picture.draw(style.LIGHT).axes]
    assert patch in titles[3]
    assert curves.clusters(history, config).caption.startswith(steps)


def test_individuals_go_by_their_names():
    data = report_data(identity_names=("Zoë", "a name that is long"))
    said = [data.called(identity) for identity in (-1, 0, 1, 2, 3)]
    assert said == ["unknown", "0", "Zoë", "…s long", "3"]


def test_images_of_unknown_identity_are_neither_right_nor_wrong():
    labels = Labels(identities=[-1, -1, -1, 1, 1, 2, -1, 2], cameras=None)
    data = report_data(clusters=np.array([0, 0, 0, 1, 1, 1, 1, 2]), train_labels=labels)
    assert [h for h, _ in groups.mixed(data).listing] == [
        "cluster 1: 4 images, 2 identities, purity 0.67"
    ]
    heading = groups.largest(data).listing[1][0]
    assert heading == "cluster 0: 3 images, 0 identities"


def test_the_plane_shows_individuals_by_their_names():
    labels = Labels(identities=[1, 1, 1, 2, 2, 3, 3, 4], cameras=None)
    names = ("_rex", "$\\frac$", "a name that is long", "alone")
    data = report_data(train_labels=labels, identity_names=names)
    assert legend(plane.plane(data)) == [
        *("0", "1", "2"),  # clusters
        *("_rex", "$\\frac$", "…s long"),
    ]
    numbered = legend(plane.plane(report_data(train_labels=labels)))
    assert numbered[3:] == ["1", "2", "3"]


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
    assert "with scikit-learn installed" in plane.plane(report_data()).caption


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
