"""Search from the command line, with a network made by hand."""

import importlib.util
import json
from pathlib import Path

import pytest
from search_folders import Colours, paint

import fgu_jax
from fgu_jax import searching
from fgu_jax.commands import command_line
from fgu_jax.data.thumbnail import EMPTY

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def command():
    path = ROOT / "experiments" / "search.py"
    spec = importlib.util.spec_from_file_location("search_command", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(command, folders, monkeypatch, capsys):
    """Runs the command with a hand-made network; its exit code, output and errors."""
    monkeypatch.chdir(folders)
    monkeypatch.setattr(fgu_jax, "load", lambda path: Colours())
    (folders / "run").mkdir()

    def run(*arguments):
        given = ["--checkpoint=run", "--query=query", "--gallery=gallery", *arguments]
        with pytest.raises(SystemExit) as left:
            command_line.main(command.search, command.parser(), given)
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def test_the_command_writes_prints_and_keeps_features(run, folders):
    code, out, _ = run("--output=found", "--top=3")
    assert code == 0
    assert "plain.png" in out
    assert "9 new to the cache" in out
    assert (folders / "run" / "search_cache.sqlite").exists()
    code, out, _ = run("--output=found", "--overwrite")
    assert code == 0
    assert "0 new to the cache" in out
    record = json.loads((folders / "found" / "matches.json").read_bytes())
    assert len(record["queries"][0]["matches"]) == 9
    (folders / "run" / "search_cache.sqlite").unlink()
    assert run("--output=other", "--cache=none")[0] == 0
    assert list((folders / "run").iterdir()) == []
    assert run("--output=third", "--cache=kept")[0] == 0
    assert (folders / "kept").is_file()


def test_a_picture_that_vanishes_is_grey_and_nothing_else_is_lost(
    run, folders, monkeypatch
):
    def then_lost(*arguments, **options):
        matches = searching.match.search(*arguments, **options)
        (folders / "gallery" / "plain.png").unlink()
        paint(folders / "gallery" / "sub" / "two words.png", (1, 2, 3))
        return matches

    monkeypatch.setattr(searching, "search", then_lost)
    code, out, err = run("--output=found")
    assert (code, err) == (0, "")
    assert "2 images could not be read any more, grey on the page:" in out
    assert "  gallery: plain.png: No such file or directory" in out
    assert "  gallery: sub/two words.png: changed since it was compared" in out
    record = json.loads((folders / "found" / "matches.json").read_bytes())
    assert len(record["queries"][0]["matches"]) == 9
    assert {(of["what"], of["image"]) for of in record["grey"]} == {
        ("gallery", "plain.png"),
        ("gallery", "sub/two words.png"),
    }
    page = (folders / "found" / "index.html").read_text("utf-8")
    assert '"grey":[["gallery: ' in page
    small = [path.read_bytes() for path in (folders / "found/thumbnails").iterdir()]
    assert small.count(EMPTY) == 2 < len(small)


def test_the_output_is_checked_first_and_its_folder_made_last(
    run, folders, monkeypatch
):
    beside = []

    class Watching(Colours):
        def of_set(self, images, parts, *, stream):
            beside.extend(path.name for path in folders.iterdir())
            (folders / "late").mkdir(exist_ok=True)
            (folders / "late" / "thesis.tex").write_text("years of work")
            return super().of_set(images, parts, stream=stream)

    monkeypatch.setattr(fgu_jax, "load", lambda path: Watching())
    code, _, err = run("--output=late", "--overwrite")
    assert (code, err.count("\n")) == (2, 1)
    assert "'late' holds more than a search's result" in err
    assert (folders / "late" / "thesis.tex").read_text() == "years of work"
    assert set(beside) == {"query", "gallery", "run", "late"}
    beside.clear()
    code, _, err = run("--output=late", "--cache=none")
    assert code == 2
    assert not beside  # refused before anything is embedded


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--output=run"], ["run", "exists", "--overwrite"]),
        (["--output=run/file/below", "--top=0"], ["top", "0", "1 or more"]),
        (["--output=gallery/found"], ["gallery", "lie in one another"]),
        (["--output=x", "--gallery=nothing"], ["nothing", "does not exist"]),
        (["--output=x", "--top=few"], ["--top", "few"]),
        (["--output=x", "--galery=y"], ["--galery", "--gallery"]),
        ([], ["--output"]),
    ],
)
def test_what_is_typed_wrongly_costs_one_line(run, folders, arguments, parts):
    code, out, err = run(*arguments)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "Traceback" not in out + err
    assert all(part in err for part in parts)
    assert not (folders / "x").exists()
