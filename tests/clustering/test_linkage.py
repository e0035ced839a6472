"""Linkage of sparse graphs: by hand, by one merge at a time, and against SciPy."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from fgu_jax.clustering import (
    average_linkage,
    complete_linkage,
    neighbour_graph,
    single_linkage,
    tree,
)
from fgu_jax.clustering.links import by_first_row
from fgu_jax.errors import InputError

KINDS = {"average": average_linkage, "complete": complete_linkage}


def graph_of(count, edges):
    dense = np.zeros((count, count))
    for i, j, similarity in edges:
        dense[i, j] = dense[j, i] = similarity
    return sp.csr_array(dense)


def slowly(graph, kind, *, far=None, number=None, must=(), cannot=()):
    """One merge at a time, each pair of clusters compared anew; None: not possible."""
    dense = graph.toarray().astype(np.float64)
    clusters = [[i] for i in range(len(dense))]
    for i, j in must:
        a, b = (next(c for c in clusters if k in c) for k in (i, j))
        if a is not b:
            clusters.remove(b)
            a += b
    clusters = [sorted(cluster) for cluster in clusters]
    summary = {"average": np.mean, "complete": np.min}[kind]
    while number is None or len(clusters) > number:
        best = None
        for a, b in itertools.combinations(sorted(clusters), 2):
            if any((i in a and j in b) or (i in b and j in a) for i, j in cannot):
                continue
            key = (-summary(dense[np.ix_(a, b)]), a[0], b[0])
            if far is not None and 1 + key[0] > far:
                continue
            if best is None or key < best[0]:
                best = (key, a, b)
        if best is None:
            if number is not None:
                return None
            break
        _, a, b = best
        clusters.remove(a)
        clusters.remove(b)
        clusters.append(sorted(a + b))
    labels = np.empty(len(dense), int)
    for number, cluster in enumerate(clusters):
        labels[cluster] = number
    return by_first_row(labels)


@st.composite
def graphs(draw, most=9):
    """Few levels, all multiples of 1/8: many ties, and sums that are exact."""
    count = draw(st.integers(1, most))
    pairs = list(itertools.combinations(range(count), 2))
    levels = draw(st.sampled_from([(0, 1), (0, 0, 2, 6), (0, 1, 3, 4, 7, 8), (5,)]))
    edges = [(i, j, draw(st.sampled_from(levels)) / 8) for i, j in pairs]
    return graph_of(count, edges)


def pairs_of(count):
    row = st.integers(0, count - 1)
    return st.lists(st.tuples(row, row), max_size=4)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(deadline=None, max_examples=250)
def test_is_one_merge_at_a_time(kind, data):
    graph = data.draw(graphs())
    count = graph.shape[0]
    must, cannot = data.draw(pairs_of(count)), data.draw(pairs_of(count))
    links = {"must_link": must, "cannot_link": cannot}
    if data.draw(st.booleans()):
        wanted = {"max_distance": data.draw(st.sampled_from([0, 0.25, 0.5, 0.75, 1]))}
        arguments = {"far": wanted["max_distance"]}
    else:
        wanted = {"num_clusters": data.draw(st.integers(1, count))}
        arguments = {"number": wanted["num_clusters"]}
    try:
        labels = KINDS[kind](graph, **wanted, **links)
    except InputError as error:
        text = str(error)
        assert "\n" not in text
        if "keeps apart rows" in text:
            start = slowly(graph, kind, number=count, must=must)
            assert any(start[i] == start[j] for i, j in cannot)
            return
        left = slowly(graph, kind, far=1, must=must, cannot=cannot)
        start = slowly(graph, kind, number=count, must=must)
        number = wanted["num_clusters"]
        assert number < left.max() + 1 or number > start.max() + 1
        return
    assert labels.dtype == np.int32
    expected = slowly(graph, kind, must=must, cannot=cannot, **arguments)
    np.testing.assert_array_equal(labels, expected)
    assert all(labels[i] == labels[j] for i, j in must)
    assert all(labels[i] != labels[j] for i, j in cannot)


@pytest.fixture(scope="module", params=[300, 2000])
def neighbours(request):
    """Groups of twelve, with duplicates; the graph, and all distances."""
    count = request.param
    random = np.random.default_rng(count)
    middle = random.standard_normal((count // 12 + 1, 24)).repeat(12, axis=0)[:count]
    features = middle + 0.9 * random.standard_normal(middle.shape)
    features[4:9] = features[3]
    features[100:120] = features[40:60]
    graph = neighbour_graph(features, k1=12)
    distance = 1 - graph.toarray().astype(np.float64)
    np.fill_diagonal(distance, 0)
    return graph, squareform(distance, checks=False)


@pytest.mark.parametrize("kind", ["average", "complete"])
def test_is_scipy_at_distances(neighbours, kind):
    graph, distance = neighbours
    merges = hierarchy.linkage(distance, kind)
    for far in (0, 0.05, 0.2, 0.4, 0.6, 0.73, 0.9, 0.99):
        theirs = by_first_row(hierarchy.fcluster(merges, far, "distance"))
        ours = KINDS[kind](graph, max_distance=far)
        np.testing.assert_array_equal(ours, theirs)


def test_is_scipy_at_numbers(neighbours):
    graph, distance = neighbours
    merges = hierarchy.linkage(distance, "average")
    count = graph.shape[0]
    numbers = [count // share for share in (2, 3, 5, 8, 12, 16, 24)]
    theirs = hierarchy.cut_tree(merges, n_clusters=numbers).T
    for number, labels in zip(numbers, theirs, strict=True):
        ours = average_linkage(graph, num_clusters=number)
        np.testing.assert_array_equal(ours, by_first_row(labels))


def test_single_linkage_is_the_connected_parts(neighbours):
    graph, _ = neighbours
    for far in (0.1, 0.5, 0.8):
        near = graph.copy()
        near.data = np.where(1 - near.data.astype(np.float64) <= far, near.data, 0)
        near.eliminate_zeros()
        parts = sp.csgraph.connected_components(near, directed=False)[1]
        ours = single_linkage(graph, max_distance=far)
        np.testing.assert_array_equal(ours, by_first_row(parts))


@given(graphs())
@settings(deadline=None, max_examples=100)
def test_single_linkage_to_a_number_takes_edges_in_order(graph):
    count = graph.shape[0]
    upper = sp.triu(graph, 1).tocoo()
    edges = sorted(zip(-upper.data, upper.row, upper.col, strict=True))
    labels = np.arange(count)
    for _, i, j in [*edges, *((0, 0, k) for k in range(count))]:
        number = len(set(labels))
        expected = by_first_row(labels)
        ours = single_linkage(graph, num_clusters=number)
        np.testing.assert_array_equal(ours, expected)
        labels[labels == max(labels[i], labels[j])] = min(labels[i], labels[j])


def test_does_not_depend_on_the_order_of_images(neighbours):
    graph, _ = neighbours
    order = np.random.default_rng(3).permutation(graph.shape[0])
    # Ties go by row, so that only what has none can be compared: far from duplicates.
    straight = average_linkage(graph, max_distance=0.73)
    turned = average_linkage(graph[order][:, order], max_distance=0.73)
    np.testing.assert_array_equal(by_first_row(straight[order]), turned)


def test_heights_fall_and_the_tree_is_whole(neighbours):
    graph, _ = neighbours
    found = tree(graph)
    assert len(found.first) == graph.shape[0] - 1
    assert (np.diff(found.similarity) <= 0).all()
    assert found.after(len(found.first)).max() == 0
    assert found.after(0).tolist() == list(range(graph.shape[0]))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images(count):
    alone = sp.csr_array((count, count))
    assert average_linkage(alone, max_distance=0.9).tolist() == list(range(count))
    assert average_linkage(alone, num_clusters=1).tolist() == [0] * count
    assert average_linkage(alone, max_distance=1).tolist() == [0] * count


def test_no_images():
    empty = sp.csr_array((0, 0))
    assert average_linkage(empty, max_distance=0.5).shape == (0,)


def test_a_chain_is_not_followed():
    # Single linkage takes all in; the mean of a growing cluster falls.
    chain = graph_of(12, [(i, i + 1, 0.9) for i in range(11)])
    assert single_linkage(chain, max_distance=0.5).max() == 0
    assert average_linkage(chain, max_distance=0.5).max() == 5
    long = sp.diags_array(np.full(5000, 0.9), offsets=1, shape=(5001, 5001))
    labels = average_linkage(long + long.T, max_distance=0.999)
    assert 0 < labels.max() < 200


def test_all_equal():
    full = sp.csr_array(np.ones((40, 40)))
    assert average_linkage(full, max_distance=0).max() == 0
    assert complete_linkage(full, num_clusters=7).tolist() == [0] * 34 + [*range(1, 7)]


def test_nothing_in_common_merges_last_into_the_first():
    graph = graph_of(5, [(1, 2, 0.5)])
    assert average_linkage(graph, num_clusters=3).tolist() == [0, 0, 0, 1, 2]
    assert average_linkage(graph, num_clusters=2).tolist() == [0, 0, 0, 0, 1]
    kept = average_linkage(graph, num_clusters=2, cannot_link=[(0, 1)])
    assert kept.tolist() == [0, 1, 1, 0, 0]


def test_must_links_count_as_their_images():
    # Image 2 is more like 0 alone (0.6) than like 3 (0.5); with 1 the mean is 0.3.
    graph = graph_of(4, [(0, 2, 0.6), (2, 3, 0.5)])
    assert average_linkage(graph, num_clusters=3).tolist() == [0, 1, 0, 2]
    tied = average_linkage(graph, num_clusters=2, must_link=[(0, 1)])
    assert tied.tolist() == [0, 0, 1, 1]


def test_a_cannot_link_holds_for_all_that_follows():
    graph = graph_of(4, [(0, 1, 0.9), (1, 2, 0.8), (0, 2, 0.8), (2, 3, 0.7)])
    labels = average_linkage(graph, max_distance=0.99, cannot_link=[(0, 3)])
    assert labels.tolist() == [0, 0, 0, 1]
    labels = average_linkage(graph, max_distance=0.99, cannot_link=[(1, 2)])
    assert labels.tolist() == [0, 0, 1, 1]


PATH = graph_of(4, [(0, 1, 0.9), (1, 2, 0.5), (2, 3, 0.5)])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "max_distance=None, num_clusters=None: give one"),
        ({"max_distance": 0.5, "num_clusters": 2}, "max_distance=0.5, num_clusters=2"),
        ({"max_distance": 1.5}, "max_distance=1.5: give 0..1"),
        ({"max_distance": float("nan")}, "max_distance=nan"),
        ({"max_distance": "far"}, "max_distance='far'"),
        ({"num_clusters": 0}, "num_clusters=0 of 4 images: .*1 to 4"),
        ({"num_clusters": 5}, "num_clusters=5 of 4 images: .*1 to 4"),
        ({"num_clusters": 1.5}, "num_clusters=1.5 of 4"),
        ({"num_clusters": 4, "must_link": [(0, 2)]}, "4 but must_link leaves 3"),
        ({"num_clusters": 1, "cannot_link": [(0, 2)]}, "1 but cannot_link keeps 2"),
        ({"max_distance": 1, "must_link": [(0, 4)]}, "must_link names row 4 of 4"),
        ({"max_distance": 1, "cannot_link": [(-1, 2)]}, "cannot_link names row -1"),
        ({"max_distance": 1, "must_link": [0, 1]}, "must_link has shape"),
        ({"max_distance": 1, "must_link": [(0.5, 1)]}, "must_link has shape"),
        ({"max_distance": 1, "must_link": 7}, "must_link holds no pairs"),
        ({"max_distance": 1, "cannot_link": [(2, 2)]}, "rows 2 and 2, .* one image"),
        (
            {
                "max_distance": 1,
                "must_link": [(0, 1), (1, 3)],
                "cannot_link": [(3, 0), (1, 0)],
            },
            r"rows 3 and 0 \(and 1 more pairs\), which must_link joins",
        ),
    ],
)
def test_refuses(arguments, says):
    with pytest.raises(InputError, match=says) as caught:
        average_linkage(PATH, **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (np.zeros((2, 2)), r"shape \(2, 2\): give a sparse"),
        (sp.csr_array((2, 3)), r"shape \(2, 3\)"),
        (sp.csr_array([[0, 0.5], [0.4, 0]]), "not symmetric"),
        (sp.csr_array([[0, 1.5], [1.5, 0]]), "outside 0..1"),
        (sp.csr_array([[0, np.nan], [np.nan, 0]]), "outside 0..1"),
    ],
)
def test_refuses_what_is_no_graph(graph, says):
    with pytest.raises(InputError, match=says):
        average_linkage(graph, max_distance=0.5)


def test_refuses_a_linkage_that_is_none():
    with pytest.raises(InputError, match="linkage is 'ward': choose average"):
        tree(PATH, linkage="ward")
