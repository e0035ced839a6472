"""Progress where there is no terminal: files stay clean, a notebook has one line."""

import io
import sys
import types

from rich.console import Console

from fgu_jax.config import presets
from fgu_jax.progress import bar
from fgu_jax.report.notebook import html_of_run


def test_nothing_is_drawn_into_a_file():
    file = io.StringIO()
    with bar(Console(file=file)) as progress:
        progress(1, 2, "x")
    assert file.getvalue() == ""


def test_a_notebook_has_one_line_that_changes_in_its_place(monkeypatch):
    shown, changes = [], []

    class Handle:
        def update(self, data, raw):
            changes.append(data["text/plain"])

    def display(data, raw, display_id):
        assert raw
        assert display_id
        shown.append(data["text/plain"])
        return Handle()

    clock = iter([10.0, 10.1, 11.0, 20.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    package = types.ModuleType("IPython")
    package.display = types.ModuleType("IPython.display")
    package.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", package.display)
    console = Console(file=io.StringIO(), force_jupyter=True)
    with bar(console) as progress:
        progress(1, 3000, "epoch 1")
        progress(2, 3000, "epoch 1")  # too soon
        progress(3, 3000, "epoch 1")
    with bar(console) as progress:
        progress(1, 5, "epoch 2")
    with bar(console):
        pass  # nothing to show
    assert shown == ["epoch 1: 1 of 3,000"]
    assert changes == ["epoch 1: 3 of 3,000", "", "epoch 2: 1 of 5", ""]
    assert console.file.getvalue() == ""


def test_a_run_shows_its_figures_and_pictures(tmp_path):
    config = presets.resolve({"dataset": "synthetic"})
    names = ("rank1", "rank5", "rank10", "mAP", "mINP")
    parts = ("fused", "global", "local")
    record = {f"{part}_{name}": 0.25 for part in parts for name in names}
    history = [{"epoch": 0} | record, {"epoch": 1} | record]
    text = html_of_run(tmp_path / "a&b", config, history)
    assert "a&amp;b" in text
    assert "<td>epoch 1, last, fused: the result</td><td>25.0</td>" in text
    assert "<img" not in text
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_text("")
    (report / "clusters-light.png").write_bytes(b"\x89PNG")
    text = html_of_run(tmp_path, config, [])
    assert 'src="data:image/png;base64,iVBORw=="' in text
    assert "<table>" not in text
