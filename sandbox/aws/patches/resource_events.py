"""Every resource of a stack leaves its events, and one that moto cannot make says so.

moto records events for stacks alone. It passes over resource types that it does not know, which shows only in
the server's log, and forgets a resource whose type it cannot update.
"""

from __future__ import annotations

import logging
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.models import Event, cloudformation_backends

from sandbox.aws.patches.stack_work import reason_of

_LOG = logging.getLogger(__name__)
_create_original = parsing.parse_and_create_resource
_update_original = parsing.parse_and_update_resource
CANCELLED = "Resource creation cancelled"


def _record(resources: parsing.ResourceMap, logical_id: str, kind: str, status: str, **more: Any) -> None:
    backend = cloudformation_backends[resources._account_id][resources._region_name]
    stack = backend.stacks.get(resources.stack_id)
    if stack is None:
        return
    stack.events.append(
        Event(
            stack_id=stack.stack_id,
            stack_name=stack.name,
            logical_resource_id=logical_id,
            physical_resource_id=str(more.get("physical_id", "")),
            resource_type=kind,
            resource_status=status,
            resource_status_reason=more.get("reason"),
            resource_properties=None,
        )
    )


def _create(logical_id: str, resource_json: dict[str, Any], resources_map: parsing.ResourceMap, **where: Any) -> Any:
    kind = resource_json["Type"]
    condition = resource_json.get("Condition")
    if condition and not resources_map.lazy_condition_map[condition]:
        return None
    _record(resources_map, logical_id, kind, "CREATE_IN_PROGRESS")
    try:
        made = _create_original(logical_id, resource_json, resources_map, **where)
    except Exception as error:
        # An error passes through every resource that needs this one: only the first has it for a reason.
        reason = CANCELLED if getattr(error, "aphex_recorded", False) else reason_of(error)
        setattr(error, "aphex_recorded", True)  # noqa: B010 - an attribute of our own
        _record(resources_map, logical_id, kind, "CREATE_FAILED", reason=reason)
        raise
    if made is None:
        reason = f"Passed over: moto does not know {kind}."
        _LOG.warning("%s %s: %s", resources_map["AWS::StackName"], logical_id, reason)
        _record(resources_map, logical_id, kind, "CREATE_COMPLETE", reason=reason)
    else:
        physical_id = getattr(made, "physical_resource_id", "")
        _record(resources_map, logical_id, kind, "CREATE_COMPLETE", physical_id=physical_id)
    return made


def _update(logical_id: str, resource_json: dict[str, Any], resources_map: parsing.ResourceMap, **where: Any) -> Any:
    kind = resource_json["Type"]
    former = resources_map[logical_id]
    changed = _update_original(logical_id, resource_json, resources_map, **where)
    if changed is None and former is not None:
        reason = f"Left as it was: moto cannot update {kind}."
        _LOG.warning("%s %s: %s", resources_map["AWS::StackName"], logical_id, reason)
        _record(resources_map, logical_id, kind, "UPDATE_COMPLETE", reason=reason)
        return former
    physical_id = getattr(changed, "physical_resource_id", "")
    _record(resources_map, logical_id, kind, "UPDATE_COMPLETE", physical_id=physical_id)
    return changed


def apply() -> None:
    """Put these in the place of moto's own, where its resource maps look for them."""
    setattr(parsing, "parse_and_create_resource", _create)  # noqa: B010 - mypy refuses the plain form
    setattr(parsing, "parse_and_update_resource", _update)  # noqa: B010
