"""`python -m benchmarks`: a table for people, and build/bench.json for machines."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.table import Table

from benchmarks import artifacts, deployment, rendering, starting
from benchmarks.measure import ROOT, Ratio

RESULTS = ROOT / "build" / "bench.json"


def main() -> int:
    """Run every benchmark; 1 when a target was missed."""
    console = Console()
    found: list[Ratio] = []
    for benchmark in (rendering, starting, artifacts, deployment):
        with console.status(f"{benchmark.__name__} ..."):
            found += benchmark.run()
    table = Table(box=None, pad_edge=False)
    for heading in ("benchmark", "value", "target", "measured"):
        table.add_column(heading, overflow="fold")
    for each in found:
        sign = "<=" if each.better == "lower" else ">="
        style = "green" if each.reached else "red"
        table.add_row(each.name, f"[{style}]{each.value:.2f}[/]", f"{sign} {each.target:.2f}", each.detail)
    console.print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([each.document() for each in found], indent=2) + "\n", encoding="utf-8")
    console.print(f"Written to {RESULTS.relative_to(ROOT)}.")
    return 0 if all(each.reached for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
