"""Which pairs are asked about: against a plain reading, and what is never asked."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.clustering import (
    average_linkage,
    clustering,
    compare,
    questions,
    questions_of_table,
)
from fgu_jax.clustering.chance import Chance, fitted
from fgu_jax.clustering.links import joined
from fgu_jax.errors import InputError


def graph_of(count, edges):
    dense = np.zeros((count, count))
    for i, j, similarity in edges:
        dense[i, j] = dense[j, i] = similarity
    return sp.csr_array(dense)


def plainly(graph, labels, known):
    """All that could be asked: {(first, second): change}, by loops."""
    dense = graph.toarray()

    def middle(rows):
        return min(rows, key=lambda i: (-dense[i, rows].sum(), i))

    chance = Chance()
    clusters = [np.flatnonzero(labels == c).tolist() for c in range(max(labels) + 1)]
    found = []
    for a, b in itertools.combinations(clusters, 2):
        similarity = dense[np.ix_(a, b)].mean()
        if similarity > 0:
            change = len(a) * len(b) * chance(similarity)
            found.append((change, middle(a), middle(b)))
    for rows in clusters:
        parts = [[i] for i in rows]
        while len(parts) > 1:
            similarity, a, b = max(
                ((dense[np.ix_(a, b)].mean(), a, b) for a, b in _pairs(parts)),
                key=lambda one: (one[0], -one[1][0], -one[2][0]),
            )
            if similarity == 0:
                break
            change = len(a) * len(b) * (1 - chance(similarity))
            found.append((change, middle(a), middle(b)))
            parts.remove(a)
            parts.remove(b)
            parts.append(sorted(a + b))
    asked = {}
    for change, i, j in sorted(found, key=lambda one: -one[0]):
        pair = frozenset((i, j))
        if pair not in asked and pair not in known:
            asked[pair] = change
    return asked


def _pairs(parts):
    return itertools.combinations(sorted(parts), 2)


@st.composite
def graphs(draw):
    count = draw(st.integers(2, 9))
    pairs = list(itertools.combinations(range(count), 2))
    # Of different weights, and different means of them (those of whole steps would be
    # equal now and then): which of equal ones is asked first is another test's.
    levels = draw(st.permutations(range(len(pairs))))
    some = draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    edges = [
        (i, j, ((level + 1.3) / (len(pairs) + 2)) ** 0.7)
        for (i, j), level, there in zip(pairs, levels, some, strict=True)
        if there
    ]
    return graph_of(count, edges)


@given(graphs(), st.sampled_from([0.3, 0.6, 0.9]))
@settings(deadline=None, max_examples=150)
def test_is_a_plain_reading(graph, far):
    labels = average_linkage(graph, max_distance=far)
    asked = questions(graph, labels, most=100)
    expected = plainly(graph, labels, set())
    found = {frozenset(q[:2]): q.change for q in asked}
    assert len(found) == len(asked)
    assert found == pytest.approx(expected)
    assert [q.change for q in asked] == sorted(found.values(), reverse=True)
    for q in asked:
        assert q.within == (labels[q.first] == labels[q.second])
        assert q.first not in q.others[0]
        assert len(q.others[0]) == min(4, q.sides[0] - 1)
    assert questions(graph, labels, most=1) == asked[:1]


@given(graphs(), st.data())
@settings(deadline=None, max_examples=100)
def test_what_is_known_is_not_asked(graph, data):
    count = graph.shape[0]
    row = st.integers(0, count - 1)
    truth = np.array(data.draw(st.lists(row, min_size=count, max_size=count)))
    pairs = data.draw(st.lists(st.tuples(row, row), max_size=4))
    must = [pair for pair in pairs if truth[pair[0]] == truth[pair[1]]]
    cannot = [pair for pair in pairs if truth[pair[0]] != truth[pair[1]]]
    labels = average_linkage(graph, max_distance=0.6)
    links = {"must_link": must, "cannot_link": cannot}
    tied = np.array(must, int).reshape(-1, 2)
    group = joined(count, tied[:, 0], tied[:, 1])
    apart = {frozenset(group[list(pair)].tolist()) for pair in cannot}
    for q in questions(graph, labels, most=100, **links):
        pair = frozenset(group[list(q[:2])].tolist())
        assert len(pair) == 2
        assert pair not in apart


def test_the_chance_is_learnt_from_answers():
    # Two clusters of 3 at 0.3: answers at 0.3 that were all no make it less likely.
    edges = [(i, j, 0.9) for a in (0, 3, 6) for i, j in _within(a)]
    edges += [(i, j, 0.3) for i in range(3) for j in range(3, 6)]
    edges += [(i, j, 0.29) for i in range(3) for j in range(6, 9)]
    graph, labels = graph_of(9, edges), np.repeat(np.arange(3), 3)
    before = questions(graph, labels)[0]
    assert (before.first, before.second, before.within) == (0, 3, False)
    after = questions(graph, labels, cannot_link=[(0, 3), (1, 4), (2, 5)])[0]
    assert (after.first, after.second) == (0, 6)
    assert after.change < 9 * Chance()(np.array(0.29))
    yes = questions(graph, labels, must_link=[(0, 3), (1, 4), (2, 5)])[0]
    assert yes.change > 9 * Chance()(np.array(0.29))


def _within(a):
    return [(a, a + 1), (a, a + 2), (a + 1, a + 2)]


def test_the_fit_is_the_best_of_a_fine_grid():
    random = np.random.default_rng(0)
    s = random.uniform(0, 1, 400)
    same = random.uniform(size=400) < Chance(0.5, 0.06)(s)
    found = fitted(s, same)
    assert found.even == pytest.approx(0.5, abs=0.03)
    assert found.spread == pytest.approx(0.06, abs=0.021)
    assert fitted([], []) == Chance(pytest.approx(0.35), pytest.approx(0.08))


def test_an_oracle_gains_more_than_random_pairs():
    random = np.random.default_rng(3)
    truth = np.repeat(np.arange(40), 9)
    features = random.standard_normal((40, 24))[truth]
    features = features + 0.8 * random.standard_normal(features.shape)
    features[:, :6] += 1.5 * random.standard_normal((360, 6))
    made = clustering(features)
    before = compare(truth, made.labels).ari
    links = {"must_link": [], "cannot_link": []}
    for _ in range(3):
        graph, labels = made.graph.similarities, made.labels
        for q in questions(graph, labels, most=20, **links):
            same = truth[q.first] == truth[q.second]
            links["must_link" if same else "cannot_link"].append(q[:2])
        made = clustering(features, **links)
        assert all(made.labels[i] == made.labels[j] for i, j in links["must_link"])
        assert all(made.labels[i] != made.labels[j] for i, j in links["cannot_link"])
    by_questions = compare(truth, made.labels).ari
    links = {"must_link": [], "cannot_link": []}
    for i, j in random.integers(0, 360, (60, 2)):
        if i != j:
            links["must_link" if truth[i] == truth[j] else "cannot_link"].append((i, j))
    at_random = compare(truth, clustering(features, **links).labels).ari
    assert by_questions > max(before, at_random) + 0.05


def test_of_a_table_by_hand():
    labels = [0, 0, 0, 1, 1, 2]
    confidence = [1.0, 0.5, 0.75, 0.75, 0.5, 0.0]
    nearest = [1, 1, -1, 0, 2, 1]
    asked = questions_of_table(labels, confidence, nearest)
    assert [(q.first, q.second, q.within) for q in asked] == [
        (0, 3, False),  # 3 * 2 * (3 / 5) / 2
        (0, 1, True),  # 2 * (1 - 0.5)
        (3, 5, False),  # 2 * 1 * (2 / 3) / 2
        (0, 2, True),  # 2 * (1 - 0.75), and before the next by row
        (3, 4, True),  # 1 * (1 - 0.5)
    ]
    assert [round(q.change, 9) for q in asked] == [1.8, 1.0, round(2 / 3, 9), 0.5, 0.5]
    less = questions_of_table(
        labels, confidence, nearest, must_link=[(1, 0)], cannot_link=[(3, 1)]
    )
    assert [q[:2] for q in less] == [(3, 5), (0, 2), (3, 4)]
    assert questions_of_table(labels, confidence, nearest, most=1) == asked[:1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: questions(graph_of(2, []), [0, 1], most=0), "most is 0: give 1"),
        (lambda: questions(graph_of(2, []), [0, 2]), "are not dense"),
        (lambda: questions(graph_of(2, []), [0]), "labels has shape"),
        (lambda: questions_of_table([0], [1], [0], most=0), "most is 0: give 1"),
        (lambda: questions_of_table([0, 0], [1], [0, 0]), "2 labels and 1 confidences"),
        (
            lambda: questions(graph_of(2, []), [0, 0], must_link=[(0, 3)]),
            "must_link names row 3 of 2",
        ),
    ],
)
def test_refuses(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_one_image_is_no_question():
    assert questions(sp.csr_array((1, 1)), [0]) == []
    assert questions_of_table([0], [0.5], [-1]) == []
