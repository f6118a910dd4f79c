"""What each resource type of the stand-in implements: four small calls to AWS over data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from sandbox.providers.aws.endpoint import Aws
from sandbox.providers.aws.schema import Schema
from sandbox.providers.base import Properties


@dataclass(frozen=True)
class Scope:
    """AWS as one resource sees it: the provider's clients in the resource's region."""

    aws: Aws
    region: str

    def client(self, service: str) -> Any:
        """A boto3 client of a service in this region."""
        return self.aws.client(service, self.region)

    @property
    def partition(self) -> str:
        """The partition of this region."""
        return self.aws.partition(self.region)

    def arn(self, service: str, resource: str, *, region: bool = True, account: bool = True) -> str:
        """The ARN of a resource of this account and region."""
        place = self.region if region else ""
        owner = self.aws.account if account else ""
        return f"arn:{self.partition}:{service}:{place}:{owner}:{resource}"


class ResourceType(ABC):
    """One resource type. boto3's `ClientError` passes through: the provider says what it means to the user."""

    schema: Schema
    created_with: frozenset[str] = frozenset()
    """The inputs that `create` sets by itself; `apply` sets the others."""
    missing: frozenset[str] = frozenset()
    """The error codes by which the service says that the resource is not there."""

    @abstractmethod
    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the resource and return its id; all that can fail afterwards belongs to `apply`."""

    @abstractmethod
    def read(self, scope: Scope, id: str) -> Properties | None:
        """The resource's outputs as they are now; None when it is gone."""

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:  # noqa: B027
        """Bring the changed inputs into effect; one that is no longer among the inputs goes back to its default."""

    @abstractmethod
    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the resource."""
