"""Whose failure a failed call of the CDK CLI is: told from what CloudFormation did and the CLI said, never guessed.

The CLI deploys the stacks of one call one after another, so at most one of them has failed: those before it are
finished, those after it not begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from stages.assembly import StackDeployment

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

_STACK = "AWS::CloudFormation::Stack"


class Course(StrEnum):
    """What CloudFormation did with a stack since a call of the CLI began."""

    DEPLOYED = "deployed"
    FAILED = "failed"
    BEGUN = "begun"
    UNTOUCHED = "untouched"


# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
_DEPLOYED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "IMPORT_COMPLETE"})


def course(events: Sequence[StackEventTypeDef]) -> Course:
    """What became of a stack, by its events since the call began, the newest first as CloudFormation lists them."""
    own = [event.get("ResourceStatus", "") for event in events if _of_stack(event)]
    if not own:
        return Course.BEGUN if events else Course.UNTOUCHED
    if own[0] in _DEPLOYED:
        return Course.DEPLOYED
    return Course.FAILED if "FAILED" in own[0] or "ROLLBACK" in own[0] else Course.BEGUN


def _of_stack(event: StackEventTypeDef) -> bool:
    """Whether an event is about the stack itself; one about a nested stack is about a resource of it."""
    return event.get("ResourceType") == _STACK and event.get("PhysicalResourceId", "") in ("", event["StackId"])


@dataclass(frozen=True)
class Blame:
    """What is known of the stacks of a call that failed.

    Attributes:
        finished: of the first stacks, whether each was changed; they are finished.
        failed: the stack that failed; None when no fact speaks against any of them.
        known: whether CloudFormation could be asked.
    """

    finished: tuple[bool, ...] = ()
    failed: StackDeployment | None = None
    known: bool = True


def blame(
    waiting: Sequence[StackDeployment],
    courses: Mapping[str, Course] | None,
    named: StackDeployment | None,
    begun: StackDeployment | None,
) -> Blame:
    """Decide which stacks of a failed call are finished, and which one failed.

    A stack that CloudFormation failed, or began and did not finish, is the one; otherwise the one that the CLI named,
    since much can fail before CloudFormation hears of it; otherwise the one that it said it deploys, unless
    CloudFormation finished that.

    Args:
        waiting: those of which the CLI did not say that they are finished, in order.
        courses: what CloudFormation did with each, by its id in the manifest; None when it cannot be asked.
        named: the stack that the CLI said has failed.
        begun: the stack that the CLI said it deploys.
    """
    if courses is None:
        return Blame(failed=named or begun, known=False)
    found = [courses[each.artifact.id] for each in waiting]
    stuck = [each for each, what in zip(waiting, found, strict=True) if what in (Course.FAILED, Course.BEGUN)]
    failed = stuck[0] if stuck else named
    if failed is None and begun is not None and courses[begun.artifact.id] is Course.UNTOUCHED:
        failed = begun
    end = waiting.index(failed) if failed is not None else len(waiting)
    if not stuck:  # what is before the last stack that CloudFormation finished, has had its turn too
        end = next((index + 1 for index in reversed(range(end)) if found[index] is Course.DEPLOYED), 0)
    return Blame(finished=tuple(what is Course.DEPLOYED for what in found[:end]), failed=failed)
