"""The kinds of value in aphex-config.yaml: durations, accounts, regions, roles, and what every model of it is."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from aphex.regions import region_problem

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def duration_seconds(text: str) -> int:
    """Seconds in a duration such as `90s`, `10m` or `1h30m`.

    Raises:
        ValueError: `text` is not such a duration, or is zero.
    """
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total == 0:
        raise ValueError(f'"{text}" is not a duration. Write it as 90s, 10m or 1h30m.')
    return total


def _duration(text: str) -> str:
    duration_seconds(text)
    return text


def _region(name: str) -> str:
    problem = region_problem(name)
    if problem:
        raise ValueError(problem)
    return name


def _account(value: object) -> object:
    if isinstance(value, int):
        raise ValueError(f'is a number here, which loses leading zeros. Put it in quotes: "{value:012d}".')
    return value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty. Write a command, or remove the entry.")
    return text


# The titles are what the configuration reference calls these kinds of value.
Region = Annotated[str, AfterValidator(_region), Field(title="AWS region")]
Account = Annotated[str, BeforeValidator(_account), Field(title="AWS account", pattern=r"^\d{12}$")]
Duration = Annotated[str, AfterValidator(_duration), Field(title="duration")]
ShellText = Annotated[str, AfterValidator(_not_blank), Field(title="shell command")]
RoleArn = Annotated[str, Field(title="role ARN", pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$")]


class Model(BaseModel):
    """What every part of the configuration is: immutable, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)
