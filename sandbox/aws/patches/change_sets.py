"""Change sets belong to their stack, and executing one does all that CreateStack and UpdateStack do.

moto looks change sets up by name alone, while the CDK CLI gives all of them the same name; a second CREATE
for a stack under review makes a second stack of its name; and executing one leaves the stack's outputs and
exports empty.
"""

from __future__ import annotations

from typing import Any

from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult

from sandbox.aws.patches import stack_work

_create_original = CloudFormationBackend.create_change_set


class ChangeSetNotFound(CloudFormationError):
    """The stack has no change set of that name."""

    code = "ChangeSetNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"ChangeSet [{name}] does not exist")


def find(backend: CloudFormationBackend, name: str, stack_name: str | None) -> ChangeSet | None:
    """The newest change set of that name or ARN; of that stack's, when one is named by name or ARN."""
    for identifier, change_set in reversed(list(backend.change_sets.items())):
        if name not in (identifier, change_set.change_set_name):
            continue
        if stack_name is None or stack_name in (change_set.stack_name, change_set.stack_id):
            return change_set
    return None


def _create(self: CloudFormationBackend, **arguments: Any) -> tuple[str, str]:
    name = arguments["stack_name"]
    former = next((stack for stack in self.stacks.values() if stack.name == name), None)
    under_review = former is not None and former.status == "REVIEW_IN_PROGRESS"
    if arguments["change_set_type"] == "CREATE" and former is not None:
        if not under_review:
            message = f"Stack [{name}] already exists and cannot be created again with the changeSet"
            raise ValidationError(name, message=message)
        # A stack under review has no resources yet: the new change set begins it again.
        del self.stacks[former.stack_id]
    arguments["parameters"] = stack_work.all_parameters(arguments["template"], arguments["parameters"])
    change_set_id, stack_id = _create_original(self, **arguments)
    stack = self.stacks[stack_id]
    stack.cross_stack_resources = self.exports
    return change_set_id, stack_id


def _execute(self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
    change_set = find(self, change_set_name, stack_name)
    if change_set is None:
        raise ChangeSetNotFound(change_set_name)
    if change_set.execution_status != "AVAILABLE":
        message = f"ChangeSet [{change_set.change_set_id}] cannot be executed in its current status"
        raise ValidationError(change_set_name, message=message)
    stack = self.stacks[change_set.stack_id]
    if stack.status == "REVIEW_IN_PROGRESS":
        stack_work.create(self, stack, change_set.template, change_set.parameters)
    else:
        stack_work.update(self, stack, change_set.template, change_set.parameters, change_set.role_arn, change_set.tags)
    change_set.execution_status = "EXECUTE_COMPLETE"


def _describe(self: CloudFormationResponse) -> ActionResult:
    name = self._get_param("ChangeSetName")
    change_set = find(self.cloudformation_backend, name, self._get_param("StackName"))
    if change_set is None:
        raise ChangeSetNotFound(name)
    return ActionResult(change_set)


def _delete(self: CloudFormationResponse) -> ActionResult:
    backend = self.cloudformation_backend
    change_set = find(backend, self._get_param("ChangeSetName"), self._get_param("StackName"))
    if change_set is not None:
        del backend.change_sets[change_set.change_set_id]
    return EmptyResult()


def _list(self: CloudFormationResponse) -> ActionResult:
    stack_name = self._get_param("StackName")
    every = self.cloudformation_backend.list_change_sets()
    return ActionResult({"Summaries": [c for c in every if stack_name in (c.stack_name, c.stack_id)]})


def apply() -> None:
    """Put these in the place of moto's own."""
    setattr(CloudFormationBackend, "create_change_set", _create)  # noqa: B010 - mypy refuses the plain form
    setattr(CloudFormationBackend, "execute_change_set", _execute)  # noqa: B010
    setattr(CloudFormationResponse, "describe_change_set", _describe)  # noqa: B010
    setattr(CloudFormationResponse, "delete_change_set", _delete)  # noqa: B010
    setattr(CloudFormationResponse, "list_change_sets", _list)  # noqa: B010
