"""A stack's parameters that are lists are told as CloudFormation tells them: one text, with commas.

moto shows them as Python would, such as `['a', 'b']`, which the CDK CLI takes for the value when it bootstraps an
account again.
"""

from __future__ import annotations

from typing import Any

from moto.cloudformation.models import Stack

_told_original: Any = Stack.parameter_list  # a property, which moto's types do not say


def _told(self: Stack) -> list[dict[str, Any]]:
    return [{**each, "ParameterValue": _text(each["ParameterValue"])} for each in _told_original.fget(self)]


def _text(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list) else value


def apply() -> None:
    """Put this in the place of moto's own."""
    setattr(Stack, "parameter_list", property(_told))  # noqa: B010 - mypy refuses the plain form
