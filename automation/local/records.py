"""What is left of a local run when it is over: logs, results and outputs in the user's folder for such things."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automation.local.stand_in import StandIn

Outputs = dict[str, dict[str, dict[str, str]]]
_KEPT_RUNS = 20


def records_root() -> Path:
    """The folder of all records, beside that of the sandboxes."""
    from sandbox.state import sandboxes_directory

    return sandboxes_directory().parent / "local-runs"


def new_record(run: str) -> Path:
    """The folder for a run's record; the oldest ones go when there are too many."""
    from sandbox.toolchain.cache import remove

    root = records_root()
    folder = root / run
    (folder / "logs").mkdir(parents=True)
    for old in superseded(sorted(root.iterdir(), key=lambda each: each.stat().st_mtime)):
        remove(old)
    return folder


def superseded(oldest_first: Sequence[Path], kept: int = _KEPT_RUNS) -> list[Path]:
    """The records that go."""
    return list(oldest_first[: max(0, len(oldest_first) - kept)])


def collect(running: StandIn, bucket: str, run: str, folder: Path) -> None:
    """Copy what the stages stored of a run: whole logs, results, errors, outputs, test reports."""
    s3 = running.client("s3")
    prefix = f"runs/{run}/"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            file = folder / item["Key"].removeprefix(prefix)
            file.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, item["Key"], str(file))


def read_outputs(folder: Path, environments: Sequence[str]) -> Outputs:
    """The stack outputs of the environments that were deployed, in their order."""
    found: Outputs = {}
    for name in environments:
        file = folder / "outputs" / f"{name}.json"
        if file.is_file():
            found[name] = json.loads(file.read_text(encoding="utf-8"))
    return found
