"""Resources without a name in their template get a valid one, as CloudFormation does it.

moto fails on an SSM parameter without a name, and makes a name with capital letters for an ECR repository, which ECR
does not allow.
"""

from __future__ import annotations

from typing import Any

from moto.cloudformation import parsing
from moto.ssm.models import Parameter

_create_original = Parameter.create_from_cloudformation_json
_update_original = Parameter.update_from_cloudformation_json
_generate_original = parsing.generate_resource_name


def _generate(resource_type: str, stack_name: str, logical_id: str) -> str:
    name = _generate_original(resource_type, stack_name, logical_id)
    return name.lower() if resource_type == "AWS::ECR::Repository" else name


def _named(cloudformation_json: dict[str, Any], name: str) -> dict[str, Any]:
    return {**cloudformation_json, "Properties": {"Name": name, **cloudformation_json["Properties"]}}


def _create(
    cls: type[Parameter],  # noqa: ARG001 - a class method
    /,
    resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
    **more: Any,
) -> Any:
    named = _named(cloudformation_json, resource_name)
    return _create_original(resource_name, named, account_id, region_name, **more)


def _update(
    cls: type[Parameter],  # noqa: ARG001 - a class method
    /,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
) -> Any:
    named = _named(cloudformation_json, original_resource.name)
    return _update_original(original_resource, new_resource_name, named, account_id, region_name)


def apply() -> None:
    """Put these in the place of moto's own."""
    setattr(parsing, "generate_resource_name", _generate)  # noqa: B010
    setattr(Parameter, "create_from_cloudformation_json", classmethod(_create))  # noqa: B010 - mypy refuses else
    setattr(Parameter, "update_from_cloudformation_json", classmethod(_update))  # noqa: B010
