"""What a benchmark leaves: a table for the eye, JSON for later."""

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fgu_jax._version import __version__
from fgu_jax.bench import machine
from fgu_jax.bench.machine import Rates
from fgu_jax.files import whole_file


def report(piece: str, sizes: Any, rates: Rates, rows: list[dict]) -> dict[str, Any]:
    """The whole record of one benchmark, ready for JSON; of a file only its name."""
    shown = dataclasses.asdict(sizes)
    if shown.get("features"):
        shown["features"] = Path(shown["features"]).name
    return {
        "piece": piece,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "fgu_jax": __version__,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "rates": {
            "product_gflops": rates.product / 1e9,
            "copy_gib_per_second": rates.copy / 2**30,
            "precision": rates.precision,
            "load_before": rates.load,
        },
        "sizes": shown,
        "rows": rows,
    }


def write(path: Path, record: dict[str, Any]) -> None:
    """Writes the record, whole or not at all; one that is there is replaced."""
    text = json.dumps(_rounded(record), indent=1) + "\n"
    with whole_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def show(console: Console, record: dict[str, Any]) -> None:
    """Prints the record as a table; rivals stand below the row that they rival."""
    rates, where = record["rates"], record["machine"]
    kinds = ", ".join(dict.fromkeys(where["devices"]))
    table = Table(
        title=f"{record['piece']}: {where['cores']} cores, {kinds}; products "
        f"{rates['product_gflops']:,.0f} GFLOP/s ({rates['precision']}), copies "
        f"{rates['copy_gib_per_second']:.1f} GiB/s; load before "
        f"{rates['load_before']:.1f}",
        title_justify="left",
    )
    table.add_column("work", min_width=24)
    for title in ("floor", "time", "x floor", "MiB on top", "ratio"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in record["rows"]:
        over = row["over_floor"]
        table.add_row(
            row["what"],
            _seconds(row["floor_seconds"]) if over else "",
            _timing(row),
            f"{over:.2f}" if over else "",
            _memory(row),
            "",
        )
        for name, rival in row["rivals"].items():
            ratio = f"{rival['ratio']:.2f}"
            timing, memory = _timing(rival), _memory(rival)
            table.add_row(f"  {name}", "", timing, "", memory, ratio, style="dim")
        table.add_section()
    console.print(table)
    for row in record["rows"]:
        said = [row["checked"], *row.get("notes", [])]
        if "images_per_second" in row:
            said.append(f"{row['images_per_second']:,.1f} images a second")
        console.print(f"{row['what']}: {'; '.join(said)}", markup=False)


def _timing(row: dict) -> str:
    if row["runs"] == 1:
        return _seconds(row["seconds"])
    least, most = row["seconds_least"], row["seconds_most"]
    unit, scale = _unit(row["seconds"])
    middle = f"{row['seconds'] * scale:.3g}"
    return f"{middle} ({least * scale:.3g}-{most * scale:.3g}) {unit}"


def _memory(row: dict) -> str:
    return f"{row['peak_on_top_mib']:,.0f}" if "peak_on_top_mib" in row else ""


def _seconds(value: float) -> str:
    unit, scale = _unit(value)
    return f"{value * scale:.3g} {unit}"


def _unit(seconds: float) -> tuple[str, float]:
    return ("us", 1e6) if seconds < 0.001 else ("ms", 1e3) if seconds < 1 else ("s", 1)


def _rounded(value: Any) -> Any:
    """Five figures are more than a clock is worth."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return value
