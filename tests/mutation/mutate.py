"""Breaks the mathematics on purpose and counts how often a test notices.

    pip install -e '.[test,mutation]'
    python tests/mutation/mutate.py                      200 mutants, two at a time
    python tests/mutation/mutate.py --only=memory --mutants=20
    python tests/mutation/mutate.py --again=FILE         those that survived in FILE

Losses, memory, merging and retrieval are changed at one place (an operator, a
comparison, a number, a keyword, by cosmic-ray), in a copy of the checkout, and the
tests of that part are run. A mutant is killed if a test fails, if it cannot even be
imported, or if it never ends. Those that survive are printed with their change: each
is either a test that is missing or a change that changes nothing.

The sample depends on ``--seed`` and on the sources alone. Places come first and what
is done there second, since cosmic-ray has a dozen ways to change a plus and two to
change a number. Annotations are left out, and ``is`` for ``==``, which is the same to
Python for what is compared here.
"""

import argparse
import ast
import concurrent.futures
import dataclasses
import difflib
import json
import os
import queue
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).parents[2]
MOST = 8 << 30  # bytes that a mutant's tests may ask for; a block size can be mutated
# Of the package, and the tests that look at it.
PARTS = {
    "losses": "losses",
    "memory": "test_memory.py",
    "merging": "merging",
    "clustering": "clustering",
    "retrieval": "retrieval",
}
LEFT_OUT = (
    "VariableReplacer",
    "VariableInserter",
    "RemoveDecorator",
    "_Is",
    "Operator_Is",
)


@dataclasses.dataclass(frozen=True, order=True)
class Mutant:
    """One change: the ``occurrence``-th place that ``operator`` finds in a file."""

    part: str
    path: str
    line: int
    operator: str
    occurrence: int


def places() -> dict[tuple[str, str, tuple], list[Mutant]]:
    """Every place that can be changed, and the changes that can be made there."""
    found = defaultdict(list)
    for part in PARTS:
        module = ROOT / "fgu_jax" / part
        files = sorted(module.glob("*.py")) or [module.with_suffix(".py")]
        for file in files:
            source = file.read_text("utf-8")
            skipped = annotations(source)
            nodes = list(ast_nodes(get_ast(source)))
            for name in sorted(plugins.operator_names()):
                if any(word in name for word in LEFT_OUT):
                    continue
                operator = plugins.get_operator(name)()
                positions = [p for n in nodes for p in operator.mutation_positions(n)]
                for i, (start, stop) in enumerate(positions):
                    if start[0] not in skipped:
                        path = str(file.relative_to(ROOT))
                        mutant = Mutant(part, path, start[0], name, i)
                        found[part, path, (start, stop)].append(mutant)
    return found


def annotations(source: str) -> set[int]:
    """Lines with nothing but signatures and annotated fields."""
    lines = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            lines |= set(range(node.lineno, node.body[0].lineno))
        elif isinstance(node, ast.AnnAssign):
            lines |= set(range(node.lineno, node.annotation.end_lineno + 1))
    return lines


def sample(count: int, seed: int, only: str | None) -> list[Mutant]:
    """Mutants at ``count`` different places, evenly over the places there are."""
    chance = random.Random(seed)
    where = {k: v for k, v in places().items() if only in (None, k[0])}
    chosen = chance.sample(sorted(where), min(count, len(where)))
    return [chance.choice(sorted(where[place])) for place in chosen]


def survivors(earlier: list[dict]) -> list[Mutant]:
    """The mutants of an earlier run that no test noticed; the sources are as then."""
    names = [field.name for field in dataclasses.fields(Mutant)]
    return [
        Mutant(**{name: each[name] for name in names})
        for each in earlier
        if each["outcome"] == "survived"
    ]


def run_tests(tree: Path, part: str, seconds: float | None) -> tuple[int | None, str]:
    """The tests of a part in a copy: their exit code (``None``: no end) and output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += [f"tests/{PARTS[part]}"]
    command += [
        "fgu_jax/" + (part if (tree / "fgu_jax" / part).is_dir() else f"{part}.py")
    ]
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FGU_TEST_CACHE": str(tree.parent / "compiled"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tree / "hypothesis"),
    }
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MOST, MOST)),
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return None, ""
    return process.returncode, said


def judge(mutant: Mutant, tree: Path, seconds: float) -> dict | None:
    """What the tests say of one mutant; ``None`` where nothing could be changed."""
    path = tree / mutant.path
    source = path.read_text("utf-8")
    operator = plugins.get_operator(mutant.operator)()
    mutated = mutate_code(source, operator, mutant.occurrence)
    if mutated is None or mutated == source:
        return None
    started = time.perf_counter()
    path.write_text(mutated, "utf-8")
    try:
        code, _ = run_tests(tree, mutant.part, seconds)
    finally:
        path.write_text(source, "utf-8")
    changed = difflib.unified_diff(source.split("\n"), mutated.split("\n"), n=0)
    outcomes = {None: "no end", 0: "survived", 1: "killed"}
    return dataclasses.asdict(mutant) | {
        "outcome": outcomes.get(code, "not importable"),
        "seconds": round(time.perf_counter() - started, 1),
        "change": [line for line in changed if line[:3] not in ("---", "+++", "@@ ")],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="a JSON of all of it")
    parser.add_argument(
        "--again", type=Path, help="only those that survived in this earlier --output"
    )
    given = parser.parse_args()
    chosen = sample(given.mutants, given.seed, given.only)
    if given.again:
        chosen = survivors(json.loads(given.again.read_text("utf-8")))
    with tempfile.TemporaryDirectory(prefix="fgu-mutants-") as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for i in range(given.workers):
            tree = Path(folder) / str(i)
            for name in ("fgu_jax", "tests"):
                shutil.copytree(ROOT / name, tree / name)
            shutil.copy(ROOT / "setup.cfg", tree)
            trees.put(tree)
        limit = {}
        for part in sorted({mutant.part for mutant in chosen}):
            started = time.perf_counter()
            code, said = run_tests(tree, part, None)
            if code != 0:
                sys.exit(f"the tests of {part} fail as they are:\n{said[-2000:]}")
            limit[part] = 60 + 5 * (time.perf_counter() - started)

        def work(mutant: Mutant) -> dict | None:
            tree = trees.get()
            try:
                return judge(mutant, tree, limit[mutant.part])
            finally:
                trees.put(tree)

        found = []
        with concurrent.futures.ThreadPoolExecutor(given.workers) as pool:
            for done, result in enumerate(pool.map(work, chosen), 1):
                if result is None:
                    continue
                found.append(result)
                print(f"{done}/{len(chosen)}", end="\r", file=sys.stderr, flush=True)
                if result["outcome"] == "survived":
                    print(f"{result['path']}:{result['line']} {result['operator']}")
                    print("\n".join(f"    {line}" for line in result["change"]))
                sys.stdout.flush()
    survived = sum(result["outcome"] == "survived" for result in found)
    for part in sorted(limit):
        mine = [result for result in found if result["part"] == part]
        dead = sum(result["outcome"] != "survived" for result in mine)
        print(f"{part}: {dead} of {len(mine)} killed")
    print(f"{len(found) - survived} of {len(found)} mutants killed")
    if given.output:
        given.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
