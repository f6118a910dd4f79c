"""Stack outputs of a run: stored by the environment that made them, read by every later stage."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from stages.store import RunStore
from stages.table import RunTable

StackOutputs = dict[str, dict[str, str]]

PARAMETER_LIMIT = 200_000  # Argo keeps output parameters in the Workflow object, which etcd limits
_TABLE_LIMIT = 100_000  # DynamoDB limits the run's item, which holds all environments, to 400 kB
_TABLE_VALUE = 200


def store_outputs(
    store: RunStore, table: RunTable, key: str, environment: str, outputs: Mapping[str, Mapping[str, str]]
) -> None:
    """Keep an environment's outputs, in the bucket for later stages and in the run's item for people."""
    store.put_json(key, outputs)
    table.set_outputs(environment, shortened(outputs, _TABLE_LIMIT))


def shortened(outputs: Mapping[str, Mapping[str, str]], limit: int) -> StackOutputs:
    """Outputs as the run's item has them: long values are cut when all together are too large for it.

    Args:
        outputs: by stack and key.
        limit: bytes that they may take as JSON; what does not fit even cut is left out.
    """
    whole = {stack: dict(values) for stack, values in outputs.items()}
    cut = {
        stack: {
            key: value if len(value) <= _TABLE_VALUE else value[:_TABLE_VALUE] + " …" for key, value in each.items()
        }
        for stack, each in whole.items()
    }
    return next((each for each in (whole, cut) if len(json.dumps(each)) <= limit), {})


def write_parameter(path: Path, outputs: Mapping[str, Mapping[str, str]], key: str) -> None:
    """Write an environment's outputs where Argo reads its output parameter: `{STACK: {KEY: value}}`.

    Args:
        path: the parameter's file.
        outputs: by stack and key.
        key: where the bucket has them, which is written as `{"see": key}` in the place of what is too large.
    """
    text = json.dumps(outputs, sort_keys=True, ensure_ascii=False)
    if len(text.encode()) > PARAMETER_LIMIT:
        text = json.dumps({"see": key})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


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
