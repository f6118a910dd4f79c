"""Stacks that fail roll back and say why, as CloudFormation's do, and keep exports and outputs right.

In moto an error while a stack is worked on goes to the caller of the API: the stack stays half made, in
progress, without an event. An update never registers new exports, and evaluating the outputs of a deleted
stack makes its resources again, because its maps create what they do not find.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from moto.cloudformation.exceptions import AlreadyExistsException, ValidationError
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.parsing import OutputMap
from moto.cloudformation.utils import generate_stack_id

_LOG = logging.getLogger(__name__)
_create_nested_original = Stack.create_from_cloudformation_json


def empty_stack(backend: CloudFormationBackend, name: str, **settings: Any) -> Stack:
    """Register a stack that has no template yet.

    Args:
        backend: the region it is in.
        name: its name.
        settings: the other arguments of moto's `Stack`, such as its tags.

    Raises:
        AlreadyExistsException: the region has a stack of this name.
    """
    if any(stack.name == name for stack in backend.stacks.values()):
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    stack: Stack = Stack(  # type: ignore[abstract]  # moto's own classes leave some out
        stack_id=generate_stack_id(name, backend.region_name, backend.account_id),
        name=name,
        template={},
        account_id=backend.account_id,
        region_name=backend.region_name,
        cross_stack_resources=backend.exports,
        **settings,
    )
    # moto replaces an empty dictionary by one of the stack's own, and would not see later exports.
    stack.cross_stack_resources = backend.exports
    backend.stacks[stack.stack_id] = stack
    return stack


def create(backend: CloudFormationBackend, stack: Stack, template: str, parameters: dict[str, Any]) -> None:
    """Make a stack's resources from its template, or roll it back to nothing.

    Raises:
        ValidationError: the template or its parameters are not valid; nothing was made.
    """
    stack.template = template
    stack._parse_template()
    stack.parameters = all_parameters(template, parameters)
    stack.resource_map = stack._create_resource_map()
    stack.output_map = stack._create_output_map()
    stack._add_stack_event("CREATE_IN_PROGRESS", resource_status_reason="User Initiated")

    def work() -> None:
        stack.create_resources()
        register_exports(backend, stack)

    def roll_back() -> None:
        stack.resource_map.delete()
        forget_resources(stack)

    _attempt(stack, "CREATE", work, roll_back)


def update(
    backend: CloudFormationBackend,
    stack: Stack,
    template: str,
    parameters: dict[str, Any],
    role_arn: str | None,
    tags: dict[str, str] | None,
) -> None:
    """Change a stack to a template, or back to the one that it had."""
    former = str(stack.template), dict(stack.parameters)

    def change(to: str, values: dict[str, Any]) -> None:
        stack.template = to
        stack._parse_template()
        stack.parameters = all_parameters(to, values)
        stack.resource_map.update(stack.template_dict, stack.parameters)
        stack.output_map = stack._create_output_map()
        register_exports(backend, stack)

    def work() -> None:
        change(template, parameters)
        stack.description = stack.template_dict.get("Description")
        stack.role_arn = role_arn or stack.role_arn
        stack.tags = stack.tags if tags is None else tags
        stack._add_stack_event("UPDATE_COMPLETE")
        stack.status = "UPDATE_COMPLETE"

    stack._add_stack_event("UPDATE_IN_PROGRESS", resource_status_reason="User Initiated")
    _attempt(stack, "UPDATE", work, lambda: change(*former))


def all_parameters(template: str, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters as they were given, and the defaults of the others.

    moto keeps for a later `UsePreviousValue` what a parameter was resolved to, which for one that names an SSM
    parameter is that parameter's value instead of its name.
    """
    slots = Stack.parse_template(template).get("Parameters", {})
    return {name: slot["Default"] for name, slot in slots.items() if "Default" in slot} | given


def _attempt(stack: Stack, kind: str, work: Callable[[], None], roll_back: Callable[[], None]) -> None:
    """Do the work; when it fails, keep the reason as an event and undo it."""
    rollback = "ROLLBACK" if kind == "CREATE" else "UPDATE_ROLLBACK"
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever a resource raises fails its stack
        _LOG.warning("stack %s: %s failed", stack.name, kind, exc_info=True)
        stack._add_stack_event(f"{kind}_FAILED", resource_status_reason=reason_of(error))
        stack._add_stack_event(f"{rollback}_IN_PROGRESS", resource_status_reason=reason_of(error))
        try:
            roll_back()
            stack.status = f"{rollback}_COMPLETE"
            stack._add_stack_event(stack.status)
        except Exception as second:  # noqa: BLE001 - and what its rollback raises
            _LOG.warning("stack %s: its rollback failed", stack.name, exc_info=True)
            stack.status = f"{rollback}_FAILED"
            stack._add_stack_event(stack.status, resource_status_reason=reason_of(second))


def reason_of(error: Exception) -> str:
    """An error in one line, as a status reason: moto's own errors keep their text in `message`."""
    return " ".join(str(getattr(error, "message", "") or error or type(error).__name__).split())


def register_exports(backend: CloudFormationBackend, stack: Stack) -> None:
    """Make a region's exports those that its stacks have now.

    Raises:
        ValidationError: another stack exports the same name.
    """
    for name in [n for n, export in backend.exports.items() if export.exporting_stack_id == stack.stack_id]:
        del backend.exports[name]
    for export in stack.exports:
        if export.name in backend.exports:
            owner = backend.exports[export.name].exporting_stack_id.split("/")[1]
            message = f"Export with name {export.name} is already exported by stack {owner}"
            raise ValidationError(stack.stack_id, message=message)
        backend.exports[export.name] = export


def forget_resources(stack: Stack) -> None:
    """Leave a stack nothing that reading it could make again."""
    stack.resource_map._resource_json_map = {}
    stack.output_map = OutputMap(stack.resource_map, {}, stack.stack_id)


def _create_stack(
    self: CloudFormationBackend,
    name: str,
    template: str,
    parameters: dict[str, Any],
    notification_arns: list[str] | None = None,
    tags: dict[str, str] | None = None,
    role_arn: str | None = None,
    **settings: Any,
) -> Stack:
    stack = empty_stack(
        self,
        name,
        parameters=parameters,
        notification_arns=notification_arns,
        tags=tags,
        role_arn=role_arn,
        **settings,
    )
    try:
        create(self, stack, template, parameters)
    except Exception:
        del self.stacks[stack.stack_id]
        raise
    return stack


def _update_stack(
    self: CloudFormationBackend,
    name: str,
    template: str,
    role_arn: str | None,
    parameters: list[dict[str, Any]],
    tags: dict[str, str] | None,
) -> Stack:
    stack = self.get_stack(name)
    values = self._resolve_update_parameters(instance=stack, incoming_params=parameters)
    update(self, stack, template, values, role_arn, tags)
    return stack


def _delete_stack(self: CloudFormationBackend, name_or_stack_id: str) -> None:
    """Delete a stack with its change sets; one that is not there is nothing to do, as in CloudFormation."""
    for stack in [s for s in self.stacks.values() if name_or_stack_id in (s.name, s.stack_id)]:
        stack.delete()
        forget_resources(stack)
        register_exports(self, stack)
        self.deleted_stacks[stack.stack_id] = self.stacks.pop(stack.stack_id)
        for identifier in [i for i, c in self.change_sets.items() if c.stack_id == stack.stack_id]:
            del self.change_sets[identifier]


def _create_nested(cls: type[Stack], /, resource_name: str, *arguments: Any, **more: Any) -> Stack:  # noqa: ARG001
    """A stack within a stack; its failure is that of the stack around it."""
    nested: Stack = _create_nested_original(resource_name, *arguments, **more)
    if not nested.status.endswith("_COMPLETE") or "ROLLBACK" in nested.status:
        raise ValidationError(nested.stack_id, message=f"Embedded stack {nested.stack_id} was not successfully created")
    return nested


def apply() -> None:
    """Put these in the place of moto's own."""
    setattr(Stack, "create_from_cloudformation_json", classmethod(_create_nested))  # noqa: B010
    setattr(Stack, "stack_parameters", property(lambda self: dict(self.parameters)))  # noqa: B010
    setattr(CloudFormationBackend, "create_stack", _create_stack)  # noqa: B010 - mypy refuses the plain form
    setattr(CloudFormationBackend, "update_stack", _update_stack)  # noqa: B010
    setattr(CloudFormationBackend, "delete_stack", _delete_stack)  # noqa: B010
