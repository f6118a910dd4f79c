"""Stacks as CloudFormation has them: read as the CDK CLI reads them, judged before they are deployed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stages.access import AccountAccess
from stages.assembly import StackArtifact
from stages.clients import client_config
from stages.console import elapsed

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_cloudformation import CloudFormationClient

REVIEW = "REVIEW_IN_PROGRESS"
_SPOKEN_EVERY = 30.0
_POLL = 5.0


@dataclass(frozen=True)
class StackState:
    """A stack in CloudFormation.

    Attributes:
        status: its status; empty when it does not exist.
        reason: what CloudFormation says about the status.
        id: its ARN.
        outputs: its outputs.
    """

    status: str = ""
    reason: str = ""
    id: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether CloudFormation is working on it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW


@dataclass(frozen=True)
class Judgement:
    """What a status means for a deployment.

    Attributes:
        blocks: whether a deployment cannot succeed.
        meaning: what happened to the stack.
        way_out: what to do, with the exact commands.
    """

    blocks: bool
    meaning: str
    way_out: str


def judge(name: str, status: str, region: str, *, express: bool = False) -> Judgement | None:
    """What a stack's status means; None for one that can simply be deployed.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
    """
    where = f"--stack-name {name} --region {region}"
    delete = f"aws cloudformation delete-stack {where}"
    match status:
        case "ROLLBACK_COMPLETE":
            return Judgement(
                False,
                "Its creation failed before and was undone. The CDK CLI deletes it and creates it again.",
                f"Correct the cause and start a new run, which deletes it first. To delete it yourself: {delete}",
            )
        case "ROLLBACK_FAILED":
            return Judgement(
                False,
                "Its creation failed before, and so did undoing it. The CDK CLI tries to delete it.",
                f"Delete it: {delete}\nIf that fails, leave behind what cannot be deleted: {delete} "
                "--deletion-mode FORCE_DELETE_STACK",
            )
        case "UPDATE_ROLLBACK_FAILED":
            return Judgement(
                True,
                "An update of it failed, and so did undoing the update.",
                f"Bring it back to its former state: aws cloudformation continue-update-rollback {where}\n"
                "If a resource cannot be restored, add --resources-to-skip LOGICAL_ID. Then start a new run.",
            )
        case "DELETE_FAILED":
            return Judgement(
                True,
                "Somebody deleted it, and that failed.",
                f"Finish it: {delete}\nIf that fails, leave behind what cannot be deleted: {delete} "
                "--deletion-mode FORCE_DELETE_STACK\nThen start a new run.",
            )
        case "CREATE_FAILED" | "UPDATE_FAILED":
            return Judgement(
                not express,
                "A deployment without rollback failed and left it as it was at that moment.",
                f"Undo that deployment: aws cloudformation rollback-stack {where}\nThen start a new run.",
            )
        case "REVIEW_IN_PROGRESS":
            return Judgement(
                False,
                "It has a change set that was never executed, and no resources.",
                f"If its deployment fails, delete it: {delete}\nThen start a new run.",
            )
    return None


class StackReader:
    """Reads stacks with the rights that the CDK CLI has: each stack's bootstrap role when it can be assumed."""

    def __init__(self, access: AccountAccess, account: str, session_name: str) -> None:
        self._access = access
        self._account = account
        self._session_name = session_name
        self._sessions: dict[str, Session] = {}
        self._clients: dict[tuple[str, str], CloudFormationClient] = {}

    def region(self, artifact: StackArtifact) -> str:
        """Where a stack is: its own region, or the environment's."""
        return artifact.region or self._access.region

    def client(self, artifact: StackArtifact) -> CloudFormationClient:
        """A client that may read the stack."""
        region = self.region(artifact)
        role = self._role(artifact, region)
        if (role, region) not in self._clients:
            session = self._session(role, artifact.deploy_role_external_id) if role else self._access.session
            self._clients[role, region] = session.client("cloudformation", region_name=region, config=client_config())
        return self._clients[role, region]

    def state(self, artifact: StackArtifact) -> StackState:
        """The stack as it is now.

        Raises:
            botocore.exceptions.ClientError: CloudFormation cannot be asked.
        """
        from botocore.exceptions import ClientError

        try:
            stack = self.client(artifact).describe_stacks(StackName=artifact.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in error.response["Error"].get("Message", ""):
                return StackState()
            raise
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
        return StackState(stack["StackStatus"], stack.get("StackStatusReason", ""), stack.get("StackId", ""), outputs)

    def _role(self, artifact: StackArtifact, region: str) -> str:
        """The ARN of the stack's role, whose placeholders the CDK CLI fills in too."""
        from aphex.regions import partition_of

        values = {"Partition": partition_of(region), "AccountId": self._account, "Region": region}
        role = artifact.deploy_role
        for key, value in values.items():
            role = role.replace(f"${{AWS::{key}}}", value)
        return role

    def _session(self, role: str, external_id: str) -> Session:
        if role not in self._sessions:
            session = assumed(self._access.session, role, external_id, self._session_name)
            self._sessions[role] = session or self._access.session
        return self._sessions[role]


def assumed(base: Session, role: str, external_id: str, name: str) -> Session | None:
    """A session of a role, renewed by botocore before it expires; None when the role cannot be assumed."""
    import boto3
    import botocore.session
    from botocore.credentials import AssumeRoleCredentialFetcher, CredentialResolver, DeferredRefreshableCredentials
    from botocore.exceptions import ClientError

    extra = {"RoleSessionName": name, **({"ExternalId": external_id} if external_id else {})}
    fetcher = AssumeRoleCredentialFetcher(base.client, base.get_credentials(), role, extra_args=extra)
    credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, method="assume-role")
    try:
        credentials.get_frozen_credentials()
    except ClientError:
        return None  # the CDK CLI then goes on with the credentials that it was given, and so does this

    class Resolver(CredentialResolver):
        def load_credentials(self) -> Any:
            return credentials

    core = botocore.session.Session()
    core.register_component("credential_provider", Resolver([]))
    return boto3.Session(botocore_session=core, region_name=base.region_name)


def wait_until_idle(
    name: str, read: Callable[[], StackState], say: Callable[[str], None], deadline: float, poll: float = _POLL
) -> StackState:
    """Wait until CloudFormation does not work on a stack any more; returns its state, still busy at the deadline.

    Args:
        name: the stack.
        read: asks for its state.
        say: is told how it goes on.
        deadline: on the monotonic clock.
        poll: seconds between two questions.
    """
    state, begun, spoken = read(), time.monotonic(), float("-inf")
    while state.busy and time.monotonic() < deadline:
        if time.monotonic() - spoken >= _SPOKEN_EVERY:
            waited = time.monotonic() - begun
            say(
                f"{name} is {state.status}: something else is deploying it, perhaps what is left of an earlier run. "
                f"Waiting until that is over{f' ({elapsed(waited)} so far)' if waited > 1 else ''}."
            )
            spoken = time.monotonic()
        time.sleep(max(0.0, min(poll, deadline - time.monotonic())))
        state = read()
    return state
