"""Reads aphex-config.yaml and aphex-cluster.yaml and says exactly where one is wrong: file, line, field and value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from aphex.cluster_config import CLUSTER_FILE, ClusterConfig
from aphex.config import CONFIG_FILE, PipelineConfig
from aphex.credentials import credential_kind, find_credentials
from aphex.errors import AphexError
from aphex.values import Model

AnyConfig = TypeVar("AnyConfig", bound=Model)
FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        source: the file, as the user named it.
        line: line in it, from 1; 0 when unknown.
        field: path of the field, such as `environments[1].region`.
        message: what is wrong and what would be right.
    """

    source: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return f"{place}  {self.field}\n  {self.message}" if self.field else f"{place}\n  {self.message}"


class ConfigError(AphexError):
    """A configuration that cannot be used; `problems` has every reason, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.field))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def load_config(path: Path, *, shown_as: str = "") -> PipelineConfig:
    """Read a configuration file.

    Args:
        path: the file.
        shown_as: what to call it in errors; its path when empty.

    Raises:
        ConfigError: it is missing, is not UTF-8 YAML, does not fit the schema, or holds a credential.
    """
    missing = f"There is no such file. A pipeline needs {CONFIG_FILE} at the root of its repository."
    source = shown_as or str(path)
    return parse_config(_text(path, source, missing), source=source)


def load_cluster_config(path: Path, *, shown_as: str = "") -> ClusterConfig:
    """Read the file of a cluster.

    Args:
        path: the file.
        shown_as: what to call it in errors; its path when empty.

    Raises:
        ConfigError: it is missing, is not UTF-8 YAML, does not fit the schema, or holds a credential.
    """
    missing = f"There is no such file. A cluster needs {CLUSTER_FILE}, which says where it is and who reaches it."
    source = shown_as or str(path)
    return parse_cluster_config(_text(path, source, missing), source=source)


def parse_config(text: str, *, source: str = CONFIG_FILE) -> PipelineConfig:
    """Make a configuration of YAML text.

    Raises:
        ConfigError: see `load_config`.
    """
    return _parse(text, source, PipelineConfig)


def parse_cluster_config(text: str, *, source: str = CLUSTER_FILE) -> ClusterConfig:
    """Make a cluster's configuration of YAML text.

    Raises:
        ConfigError: see `load_cluster_config`.
    """
    return _parse(text, source, ClusterConfig)


def _text(path: Path, source: str, missing: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ConfigError([Problem(source=source, line=0, field="", message=missing)]) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text: {error.reason} at byte {error.start}."
        raise ConfigError([Problem(source=source, line=0, field="", message=message)]) from None


def _parse(text: str, source: str, model: type[AnyConfig]) -> AnyConfig:
    document = _parse_yaml(text, source, model)
    plain = _plain(document)
    problems = [
        Problem(
            source=source,
            line=_line(document, found.path),
            field=field_path(found.path),
            message=found.message,
        )
        for found in find_credentials(plain)
    ]
    try:
        config = model.model_validate(plain)
    except ValidationError as error:
        problems += [_problem(details, document, source) for details in error.errors(include_url=False)]
        raise ConfigError(_without_echo(problems)) from None
    if problems:
        raise ConfigError(problems)
    return config


def field_lines(path: Path, fields: Iterable[str]) -> dict[str, int]:
    """The lines of fields in a configuration file that can be read, such as that of `environments[1].region`."""
    document = _parse_yaml(path.read_text(encoding="utf-8"), str(path), PipelineConfig)
    return {field: _line(document, _parts(field)) for field in fields}


def _parts(field: str) -> FieldPath:
    found = re.findall(r"\[(\d+)\]|([^.\[\]]+)", field)
    return tuple(int(index) if index else name for index, name in found)


def field_path(path: FieldPath) -> str:
    """Write a path as people do: `environments[1].region`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _parse_yaml(text: str, source: str, model: type[Model]) -> Any:
    try:
        document = YAML(typ="rt").load(StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not YAML: {error.problem or error.context}."
        line = mark.line + 1 if mark else 0
        raise ConfigError([Problem(source=source, line=line, field="", message=message)]) from None
    except (YAMLError, ValueError, RecursionError) as error:
        message = f"is not YAML: {str(error).splitlines()[0]}"
        raise ConfigError([Problem(source=source, line=0, field="", message=message)]) from None
    if not isinstance(document, CommentedMap):
        *first, last = [name for name, field in model.model_fields.items() if field.is_required()]
        message = f"has no settings. It must be a mapping that begins with {', '.join(first)} and {last}."
        raise ConfigError([Problem(source=source, line=1, field="", message=message)])
    return document


def _plain(value: Any) -> Any:
    """The same data in Python's own types, which is all that pydantic should see."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _line(document: Any, path: FieldPath) -> int:
    """The line of the field that `path` names, or of the nearest one around it that exists."""
    line = 1
    node = document
    for part in path:
        try:
            if isinstance(node, CommentedMap):
                line = node.lc.key(part)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(part, int):
                line = node.lc.item(part)[0] + 1
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    return line


def _problem(details: Any, document: Any, source: str) -> Problem:
    path = tuple(details["loc"])
    field = field_path(tuple("(hidden)" if credential_kind(str(part)) else part for part in path))
    message = _message(details)
    if credential_kind(message):
        message = "has a wrong value, which is not shown because it looks like a credential."
    return Problem(source=source, line=_line(document, path), field=field, message=message)


def _message(details: Any) -> str:
    kind, value = details["type"], details["input"]
    shown = f'"{value}"' if isinstance(value, str) else repr(value)
    known = {
        "missing": "is required.",
        "extra_forbidden": "is not a setting. Check its spelling, or remove it.",
        "too_short": "must have at least one entry.",
    }
    if kind in known:
        return known[kind]
    if kind == "value_error":
        return str(details["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f"{shown} does not have the form {details['ctx']['pattern']}"
    return f"{shown}: {details['msg'][0].lower()}{details['msg'][1:]}."


def _without_echo(problems: list[Problem]) -> list[Problem]:
    """Drop what says a second thing of a field that holds a credential: its message might show the value."""
    secret = {(problem.line, problem.field) for problem in problems if problem.message.startswith("holds ")}
    return [
        problem
        for problem in problems
        if (problem.line, problem.field) not in secret or problem.message.startswith("holds ")
    ]
