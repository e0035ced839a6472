"""The table at the end of a run, by hand."""

import pytest

from fgu_jax.evaluation.results import best_epoch, rows


def _history(*figures):
    return [
        {"epoch": epoch} | ({} if figure is None else {"fused_mAP": figure})
        for epoch, figure in enumerate(figures)
    ]


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ((0.9, 0.2, 0.5, 0.4), 2),  # the untrained network is no epoch of training
        ((0.1, 0.5, None, 0.5), 1),  # the first of equals
        ((0.9, 0.2), 1),
    ],
)
def test_the_best_epoch_is_that_of_the_checkpoints(figures, best):
    history = _history(*figures)
    title, record, prefix = rows(history)[-1]
    assert (title, prefix) == (f"epoch {best}, best mAP, fused", "fused")
    assert record is history[best]
    assert best_epoch(history) == best


def test_an_untrained_run_has_no_best_epoch():
    assert [title for title, *_ in rows(_history(0.4))] == ["untrained, fused"]
    assert rows(_history(None)) == []
