"""Stack outputs of a run: stored by the environment that made them, read by every later stage."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath

from stages.store import RunStore
from stages.table import RunTable

StackOutputs = dict[str, dict[str, str]]


def store_outputs(store: RunStore, table: RunTable, key: str, environment: str, outputs: StackOutputs) -> None:
    """Keep an environment's outputs, in the bucket for later stages and in the run's item for people."""
    store.put_json(key, outputs)
    table.set_outputs(environment, outputs)


def read_outputs(store: RunStore, run: str) -> dict[str, StackOutputs]:
    """The outputs of every environment that the run has deployed so far."""
    found: dict[str, StackOutputs] = {}
    for key in store.keys(f"runs/{run}/outputs/"):
        found[PurePosixPath(key).stem] = store.get_json(key) or {}
    return found


def write_outputs(path: Path, outputs: dict[str, StackOutputs]) -> None:
    """Write outputs where commands read them, readable by their owner alone: `{ENVIRONMENT: {STACK: {KEY: value}}}`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(outputs, file, indent=2, sort_keys=True)
