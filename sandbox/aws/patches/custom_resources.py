"""A custom resource is finished as soon as it is made, since its Lambda function cannot run here.

moto runs Lambda functions in Docker containers and waits for a custom resource's function to call back;
without Docker that call never comes, and the stack stays in progress for ever.
"""

from __future__ import annotations

import logging
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.custom_model import CustomModel
from moto.moto_api._internal import mock_random

_LOG = logging.getLogger(__name__)


class FinishedResource(CustomModel):
    """A custom resource that is there, with nothing for `Fn::GetAtt` to read."""

    @staticmethod
    def cloudformation_name_type() -> str:
        """No property names a custom resource."""
        return ""

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],  # noqa: ARG003 - moto's signature
        account_id: str,  # noqa: ARG003
        region_name: str,
        **kwargs: Any,
    ) -> CustomModel:
        """Make the resource, and say in the log that its function was not run."""
        logical_id, kind = kwargs["LogicalId"], kwargs["ResourceType"]
        _LOG.warning("%s (%s) is finished without running its function", logical_id, kind)
        return cls(region_name, str(mock_random.uuid4()), logical_id, resource_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,  # noqa: ARG003 - moto's signature
        cloudformation_json: dict[str, Any],  # noqa: ARG003
        account_id: str,  # noqa: ARG003
        region_name: str,  # noqa: ARG003
    ) -> CustomModel:
        """There is nothing to change."""
        resource: CustomModel = original_resource
        return resource

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        """There is nothing to delete."""

    def is_created(self) -> bool:
        """It is, from its first moment."""
        return True


def apply() -> None:
    """Put this in the place of moto's own, where its resource maps look for it."""
    setattr(parsing, "CustomModel", FinishedResource)  # noqa: B010 - mypy refuses the plain form
