"""The accounts that the pipeline deploys to: made ready in the sandbox, on AWS looked at as far as one can see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aphex_platform.target_roles import QUALIFIER

from automation.bootstrap.context import Context, NotThereYet
from automation.bootstrap.step import Finding, blocked, by_hand, done, to_do

if TYPE_CHECKING:
    from aphex.config import Environment, PipelineConfig

_VERSION = f"/cdk-bootstrap/{QUALIFIER}/version"


@dataclass(frozen=True, kw_only=True)
class Place:
    """An account and region that is deployed to.

    Attributes:
        account: twelve digits.
        region: where.
        roles: ARNs that stages assume there.
        external_id: what they send along.
        environments: names of the environments that are there.
    """

    account: str
    region: str
    roles: tuple[str, ...] = ()
    external_id: str | None = None
    environments: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """For a person."""
        return f"{self.account} in {self.region} ({', '.join(self.environments)})"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the caller can see of a place: None is what cannot be seen."""

    place: Place
    bootstrapped: bool | None = None
    missing_roles: tuple[str, ...] = ()

    @property
    def verdict(self) -> Literal["ready", "unknown", "missing"]:
        """Whether deployments there will work, as far as that can be seen."""
        if self.missing_roles or self.bootstrapped is False:
            return "missing"
        return "unknown" if self.bootstrapped is None else "ready"


def places(config: PipelineConfig) -> list[Place]:
    """Every account and region of a configuration, in the order in which environments are deployed."""
    found: dict[tuple[str, str], list[Environment]] = {}
    for each in config.environments:
        found.setdefault((each.account, each.region), []).append(each)
    return [_place(account, region, environments) for (account, region), environments in found.items()]


def _place(account: str, region: str, environments: list[Environment]) -> Place:
    roles = [each.role for each in environments if each.role is not None]
    roles += [each.tests.role for each in environments if each.tests is not None and each.tests.role is not None]
    ids = [each.external_id for each in environments if each.external_id is not None]
    return Place(
        account=account,
        region=region,
        roles=tuple(dict.fromkeys(roles)),
        external_id=ids[0] if ids else None,
        environments=tuple(each.name for each in environments),
    )


def command(place: Place, pipeline: str, pipeline_account: str) -> str:
    """The command that makes a place ready, for a person with credentials of its account."""
    words = ["python -m automation bootstrap account", place.account, f"--region {place.region}"]
    if place.account != pipeline_account:
        words += ["--profile PROFILE"]
    words += [f"--pipeline {pipeline} --pipeline-account {pipeline_account}"]
    roles = [role.rpartition("/")[2] for role in place.roles]
    if not roles:
        words.append("--direct")
    else:
        words.append(f"--role-name {roles[0]}")
    if len(roles) > 1:
        words.append(f"--test-role --test-role-name {roles[1]}")
    if place.external_id is not None and roles:
        words.append(f"--external-id {place.external_id}")
    return " ".join([*words, "--execution-policy ARN"])


def judged(found: Iterable[Known], pipeline: str, pipeline_account: str) -> Finding:
    """What is known of all places as one finding."""
    every = list(found)
    lines = [_line(each, pipeline, pipeline_account) for each in every if each.verdict != "ready"]
    if any(each.verdict == "missing" for each in every):
        return blocked("an account is not ready for deployments", "Then run this again.", *lines)
    if lines:
        return by_hand(
            f"{len(lines)} of {len(every)} cannot be seen with these credentials",
            "Whoever owns them runs this once; the validation of the first run tries every one before it deploys.",
            *lines,
        )
    return done(f"{len(every)} ready", *(each.place.title for each in every))


def _line(known: Known, pipeline: str, pipeline_account: str) -> str:
    run = command(known.place, pipeline, pipeline_account)
    if known.verdict == "unknown":
        return f"{known.place.title}: {run}"
    lacks = [f"the role {role}" for role in known.missing_roles]
    lacks += ["CDK's bootstrap"] if known.bootstrapped is False else []
    return f"{known.place.title} lacks {' and '.join(lacks)}: {run}"


@dataclass(frozen=True, kw_only=True)
class AccountsStep:
    """The accounts of an AWS: only those whose credentials the caller has can be looked into."""

    context: Context
    name: str = "accounts"
    title: str = "Target accounts"
    makes: str = ""

    def check(self) -> Finding:
        """What can be seen of each."""
        account = self.context.account
        assert account is not None
        found = [self._known(place, account.number) for place in places(self.context.config)]
        return judged(found, self.context.subject.pipeline, account.number)

    def do(self) -> None:
        """There is nothing to do: accounts have owners."""

    def _known(self, place: Place, own: str) -> Known:
        from automation.access import AwsAccess

        if place.account != own:
            return Known(place=place)
        aws = AwsAccess(region=place.region)
        iam: Any = aws.client("iam")
        absent = tuple(role for role in place.roles if not _has_role(iam, role))
        found = aws.client("ssm").get_parameters(Names=[_VERSION])["Parameters"]
        needed = self.context.config.cdk.bootstrap
        return Known(place=place, bootstrapped=bool(found) or not needed, missing_roles=absent)


def _has_role(iam: Any, arn: str) -> bool:
    try:
        iam.get_role(RoleName=arn.rpartition("/")[2])
    except iam.exceptions.NoSuchEntityException:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class SandboxAccountsStep:
    """The accounts of the sandbox's AWS, which it makes ready itself."""

    context: Context
    name: str = "accounts"
    title: str = "Target accounts"
    makes: str = "roles and CDK's bootstrap in each account of the configuration, in the sandbox's AWS"

    def check(self) -> Finding:
        """Whether each has CDK's bootstrap."""
        from sandbox.aws import accounts

        try:
            stand_ins = self.context.stand_ins()
        except NotThereYet as error:
            return to_do(error.message)
        found = places(self.context.config)
        lacking = [each for each in found if not accounts.is_ready(stand_ins.aws_endpoint, each.account, each.region)]
        if lacking:
            return to_do(f"not ready: {', '.join(each.title for each in lacking)}")
        return done(f"{len(found)} ready", *(each.title for each in found))

    def do(self) -> None:
        """Make them ready."""
        from sandbox.aws import accounts

        stand_ins = self.context.stand_ins()
        for each in places(self.context.config):
            accounts.prepare(stand_ins, each.account, each.region, self.context.terminal.say)
