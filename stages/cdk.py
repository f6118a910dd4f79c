"""The CDK command line: one synthesis for all stacks of an app, then its stacks deployed from that assembly.

Options as of aws-cdk 2.1148.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from aphex.config import Deployment, Stack
from stages.assembly import StackDeployment
from stages.errors import StageError

APP_FILE = "cdk.json"
_COMMON = ("--no-color", "--no-notices", "--ci")


class AppNotFound(StageError):
    """No CDK app belongs to a stack's path."""


def app_folder(source: Path, stack: Stack) -> str:
    """The folder of a stack's CDK app, relative to the repository: the nearest upwards with a cdk.json.

    Raises:
        AppNotFound: the path does not exist, or there is no cdk.json above it.
    """
    start = PurePosixPath(stack.path)
    if not (source / start).exists():
        raise AppNotFound(
            f'The path "{stack.path}" of the stack {stack.name} does not exist at this commit.',
            hint="Name the stack's file or its CDK app's folder, relative to the repository's root.",
            details={"stack": stack.name},
        )
    for folder in (start, *start.parents):
        if (source / folder / APP_FILE).is_file():
            return str(folder)
    raise AppNotFound(
        f'There is no {APP_FILE} at or above "{stack.path}", the path of the stack {stack.name}.',
        hint="A CDK app is a folder with a cdk.json.",
        details={"stack": stack.name},
    )


def group_by_app(source: Path, stacks: Sequence[Stack]) -> dict[str, list[Stack]]:
    """The stacks of each app, apps in the order in which they are first needed.

    Raises:
        AppNotFound: see `app_folder`.
    """
    groups: dict[str, list[Stack]] = {}
    for stack in stacks:
        groups.setdefault(app_folder(source, stack), []).append(stack)
    return groups


def assembly_folder(root: Path, app: str) -> Path:
    """Where the assembly of an app goes."""
    return root / (re.sub(r"[^A-Za-z0-9]+", "-", app).strip("-") or "app")


def synth_command(program: str, output: Path, context: Mapping[str, Any]) -> list[str]:
    """Synthesize the whole app into one assembly. Run it in the app's folder.

    Only texts of the context are on the command line, which makes every value text; see `app_with_context`.
    """
    words = [program, "synth", "--quiet", "--output", str(output), *_COMMON]
    for key, value in sorted(context.items()):
        if isinstance(value, str):
            words += ["--context", f"{key}={value}"]
    return words


def app_with_context(text: str, context: Mapping[str, Any]) -> str:
    """A cdk.json with the context's numbers, truth values, lists and mappings, which keep their types there.

    Raises:
        ValueError: the text is not a JSON object.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    typed = {key: value for key, value in context.items() if not isinstance(value, str)}
    return json.dumps({**document, "context": {**document.get("context", {}), **typed}}, indent=2)


@contextmanager
def context_in_app(folder: Path, context: Mapping[str, Any]) -> Iterator[None]:
    """Have the typed values of the context in the app's cdk.json as long as the block lasts.

    Raises:
        StageError: the cdk.json cannot be read.
    """
    file = folder / APP_FILE
    original = file.read_text(encoding="utf-8")
    if all(isinstance(value, str) for value in context.values()):
        yield
        return
    try:
        changed = app_with_context(original, context)
    except ValueError as error:
        raise StageError(f"{file.name} in {folder.name} cannot be read: {error}") from error
    file.write_text(changed, encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(original, encoding="utf-8")


def deploy_command(
    program: str, stacks: Sequence[StackDeployment], options: Deployment, default_method: str
) -> list[str]:
    """Deploy stacks of one manifest one after another, without dependencies that are not among them.

    The order is that of the manifest's dependencies (see `stages.plan.fix_order`). Nothing is synthesized again.

    Args:
        program: the CDK CLI.
        stacks: what is deployed.
        options: how.
        default_method: `change-set` or `direct`, when the environment says neither.
    """
    words = [program, "deploy", "--app", str(stacks[0].artifact.directory)]
    words += ["--exclusively", "--concurrency", "1", "--require-approval", "never", "--progress", "events"]
    words += ["--method", options.method or default_method]
    words += ["--express"] if options.express else []
    words += {"off": [], "only": ["--hotswap"], "fall-back": ["--hotswap-fallback"]}[options.hotswap]
    for each in stacks:
        for key, value in sorted(each.stack.parameters.items()):
            words += ["--parameters", f"{each.artifact.name}:{key}={value}"]
    return [*words, *_COMMON, *(each.artifact.path for each in stacks)]
