"""`fgu-jax` and `python -m fgu_jax`: the scripts' commands without a checkout."""

import importlib
import subprocess
import sys

import pytest

from fgu_jax import __main__ as installed
from fgu_jax.commands import COMMANDS


def run(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        installed.main(list(arguments))
    said = capsys.readouterr()
    return left.value.code, said.out, said.err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_a_parser_and_a_function_of_its_name(capsys, name):
    module = importlib.import_module(f"fgu_jax.commands.{name}")
    assert callable(getattr(module, name))
    assert module.parser().prog == f"{name}.py"
    code, out, err = run(capsys, name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: fgu-jax {name}")
    assert ".py --" not in out


def test_help_has_a_line_for_each_command(capsys):
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    for name, about in COMMANDS.items():
        assert f"  {name}" in out
        assert about in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "fgu-jax: unknown command 'trian': did you mean train?\n"),
        (["xyzzy"], "fgu-jax: unknown command 'xyzzy': --help lists all\n"),
        ([], f"fgu-jax: give a command: {', '.join(COMMANDS)}\n"),
        (
            ["train", "--bach_size=3"],
            "fgu-jax train: unknown field --bach_size: did you mean --batch_size?\n",
        ),
        (
            ["train", "--lr=0.1"],
            "fgu-jax train: unknown field --lr: did you mean --learning_rate?\n",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(capsys, arguments, said):
    assert run(capsys, *arguments) == (2, "", said)


@pytest.mark.parametrize(
    ("command", "given", "flag"),
    [
        ("cluster", ["--output=c.csv"], "--use_cameras"),
        ("cluster", ["--output=c.csv"], "--overwrite"),
        ("train", [], "--distributed"),  # of a group
        ("bench", ["pedal"], "--tiny"),  # of a subcommand
        ("prepare", ["--dataset=duke", "--source=x", "--data_dir=y"], "--skip-bad"),
    ],
)
def test_switches_take_true_and_false_as_fields_do(capsys, command, given, flag):
    parser = importlib.import_module(f"fgu_jax.commands.{command}").parser()

    def value(*arguments):
        found = parser.parse_args([*given, *arguments])
        return getattr(found, flag.lstrip("-").replace("-", "_"))

    assert value() is False
    for said in ([flag], [f"{flag}=true"], [f"{flag}=True"], [f"{flag}=1"]):
        assert value(*said) is True
    assert value(f"{flag}=false") is value(flag, "0") is False
    with pytest.raises(SystemExit) as left:
        value(f"{flag}=maybe")
    err = capsys.readouterr().err
    assert left.value.code == 2
    assert err.count("\n") == 1
    assert err.endswith(f"{flag}: 'maybe': give true or false\n")


def test_python_m(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fgu_jax", "cluster", "--clusters=3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("fgu-jax cluster: the following arguments are req")
