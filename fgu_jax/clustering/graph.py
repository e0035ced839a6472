"""The graph of images: who is whose neighbour, and how much they share of theirs."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from fgu_jax.clustering import approximate
from fgu_jax.clustering.cameras import centred
from fgu_jax.clustering.crossed import crossed
from fgu_jax.clustering.encoding import encode, shared_graph
from fgu_jax.clustering.neighbours import nearest_lists, on_cpu
from fgu_jax.clustering.scale import REACH, pictures_alike
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import as_features, as_labels

_WIDER = 1.15  # k1 over the pictures of an individual: some have more than most
_USUAL = 20  # neighbours alike where no step is seen; Zhong et al.'s k1
_FEW, _INDIVIDUALS = 5, 75  # of fewer images: a 75th of them, but five
USUAL_K1 = round(_WIDER * _USUAL)
USUAL_FROM = _USUAL * _INDIVIDUALS
"""k1 where no step is seen, and how many images it takes: of fewer it falls."""
_AVERAGED = 0.3  # k2 over k1; theirs are 6 and 20


@dataclass(frozen=True)
class Graph:
    """What ``neighbour_graph`` gives, and the scale that it was made at.

    Attributes:
      similarities: float32 csr [N, N].
      k1, k2: as used: those given, lowered to what N images have, or the data's.
      alike: how many neighbours of an image are of its individual, by the step that
        the neighbours show, or those of fewer images; None where none stands out, or
        ``k1`` was given.
      step: how high that step is; 0 where ``k1`` was given.
      recall: share of the true neighbours that were found: 1 but for very many images
        on a CPU (``approximate``).
      crossed: how many pictures at a time had something in common that individuals
        cross, as they cross cameras; None for none, or where ``k1`` was given.
      rest: float32 [N, D], the rows without it, which were compared; None for none.
    """

    similarities: sp.csr_array
    k1: int
    k2: int
    alike: float | None
    step: float
    recall: float = 1.0
    crossed: float | None = None
    rest: np.ndarray | None = None


def neighbour_graph(
    features: ArrayLike,
    *,
    k1: int | None = None,
    k2: int | None = None,
    cameras: ArrayLike | None = None,
) -> sp.csr_array:
    """Jaccard similarities of k-reciprocal encodings, sparse.

    V_i is the encoding of image i over the images that are among each other's ``k1``
    nearest, averaged over its ``k2`` nearest (``rerank`` has it in full). With
    shared = sum_k min(V_ik, V_jk),

      s(i, j) = shared / (2 - shared).

    Where ``k1`` is not given it comes from the data: 1.15 times the pictures that an
    individual has by ``pictures_alike``, but no more than 100, which serve individuals
    with hundreds; 23 where no step is seen (below 1,500 images fewer, down to 6, and
    below 25 images about the root of their number). What hundreds have in common and
    individuals cross, as they cross cameras, is taken out first (``crossed``).

    Args:
      features: float [N, D], of any length; compared at unit length, in float32.
      k1: how many nearest are looked at; lowered to N - 1 where there are fewer.
      k2: how many nearest are averaged, the image itself the first; 0.3 ``k1``.
      cameras: int [N]; features are centred by camera before they are compared.

    Returns:
      scipy.sparse.csr_array float32 [N, N], symmetric, 0..1, multiples of 2^-24,
      nothing on the diagonal; what is absent is 0, and so is what is below 0.01. Ties
      go by row, nothing depends on the hardware, and no N x N matrix is held. From
      200,000 images on, on a CPU and where FAISS is installed, nearly all neighbours
      are found and not all (``Graph.recall``).

    Raises:
      InputError: NaN, a zero row, fewer or more cameras than rows, k below 1.

    >>> points = np.array([[1, 0.0], [1, 0.1], [0, 1.0], [0.1, 1]])
    >>> (neighbour_graph(points, k1=1, k2=1).toarray() > 0.9).astype(int).tolist()
    [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]

    Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal
    Encoding, CVPR 2017.
    """
    return graph_of(features, k1=k1, k2=k2, cameras=cameras).similarities


def graph_of(
    features: ArrayLike,
    *,
    k1: int | None = None,
    k2: int | None = None,
    cameras: ArrayLike | None = None,
) -> Graph:
    """``neighbour_graph``, and the k1 and k2 that were used."""
    return graph_of_rows(compared(features, cameras), k1=k1, k2=k2)


def compared(features: ArrayLike, cameras: ArrayLike | None = None) -> np.ndarray:
    """Float32 [N, D], unit rows: what a graph compares; arguments as its own."""
    unit = unit_features(features)
    if cameras is None:
        return unit
    return centred(unit, as_labels(cameras, "cameras", len(unit)))


def graph_of_rows(
    unit: np.ndarray, *, k1: int | None = None, k2: int | None = None
) -> Graph:
    """``graph_of`` rows that ``compared`` gave."""
    count = len(unit)
    for name, value in (("k1", k1), ("k2", k2)):
        if value is not None and not (
            isinstance(value, int | np.integer) and value > 0
        ):
            raise InputError(f"{name}={value!r}: give a whole number, 1 or more")
    if count < 2:
        return Graph(sp.csr_array((count, count), dtype=np.float32), 1, 1, None, 0.0)
    reach = REACH if k1 is None else max(k1, (k2 or 1) - 1)
    lists, recall = _lists(unit, min(reach, count - 1))
    alike, step = None, 0.0
    common, rest = None, None
    if k1 is None:
        alike, step = pictures_alike(unit, lists, _nearest)
        if found := crossed(unit, lists, (alike, step), _nearest):
            common = alike
            rest, lists, alike, step = found
        # A few images hold no large groups.
        few = max(_FEW, count // _INDIVIDUALS)
        usual = min(_USUAL, few, math.isqrt(count))
        k1 = max(1, round(_WIDER * (alike or usual)))
    k1 = min(int(k1), lists.shape[1] - 1)
    k2 = max(1, round(_AVERAGED * k1)) if k2 is None else int(k2)
    k2 = min(k2, lists.shape[1])
    encoding = encode(unit if rest is None else rest, lists, k1, k2)
    graph = shared_graph(encoding)
    return Graph(graph, k1, k2, alike, step, recall, common, rest)


def _lists(unit: np.ndarray, reach: int) -> tuple[np.ndarray, float]:
    """``nearest_lists``, and the share of true neighbours in them."""
    if len(unit) >= approximate.FROM and on_cpu() and approximate.installed():
        return approximate.approximate_lists(unit, reach)
    return nearest_lists(unit, reach), 1.0


def _nearest(unit: np.ndarray, reach: int) -> np.ndarray:
    return _lists(unit, reach)[0]


def unit_features(features: ArrayLike) -> np.ndarray:
    """Float32 [N, D] of unit length.

    Raises:
      InputError: NaN, a zero row, another shape.
    """
    array = as_features(features, "features")
    # In float64: a row of huge or tiny numbers has a length, too.
    unit = np.empty_like(array)
    for low in range(0, len(array), 4096):
        part = array[low : low + 4096].astype(np.float64)
        unit[low : low + 4096] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return unit
