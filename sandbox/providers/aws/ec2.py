"""What the resource types of EC2 have in common: how they are described, and their tags."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.shapes import pairs, stale, tag_map
from sandbox.providers.base import Properties

_GONE_STATES = frozenset({"deleted", "deleting"})


class Ec2Resource(ResourceType):
    """A resource of EC2; its id is the one that EC2 gives it."""

    describe: str
    """The client's method that describes it."""
    ids: str
    """That method's argument for the ids."""
    found: str
    """The list in its answer."""
    kind: str
    """What tag specifications call it."""
    attributes: ClassVar[Mapping[str, str]]
    """Outputs that are taken from the description as they are, with the names that EC2 has for them."""

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The resource as EC2 describes it; None when it is deleted, or will be in a moment."""
        items = getattr(scope.client("ec2"), self.describe)(**{self.ids: [id]})[self.found]
        if not items or items[0].get("State") in _GONE_STATES:
            return None
        item = items[0]
        values = {name: item.get(aws) for name, aws in self.attributes.items()}
        known = {name: "" if value is None else value for name, value in values.items()}
        return {**known, **self.more(scope, id, item), "tags": tag_map(item.get("Tags"))}

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """Outputs that take more than a name."""
        return {}

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change the tags."""
        if "tags" in changed:
            ec2 = scope.client("ec2")
            filters = [{"Name": "resource-id", "Values": [id]}]
            found = ec2.describe_tags(Filters=filters)["Tags"]
            old = stale(tag_map(found), inputs.get("tags"))
            if old:
                ec2.delete_tags(Resources=[id], Tags=[{"Key": key} for key in old])
            if inputs.get("tags"):
                ec2.create_tags(Resources=[id], Tags=pairs(inputs["tags"]))

    def tagging(self, inputs: Properties) -> dict[str, Any]:
        """The argument by which a resource is made with its tags."""
        if not inputs.get("tags"):
            return {}
        return {"TagSpecifications": [{"ResourceType": self.kind, "Tags": pairs(inputs["tags"])}]}

    def arn(self, scope: Scope, id: str) -> str:
        """Its ARN."""
        return scope.arn("ec2", f"{self.kind}/{id}")
