"""What has to be there before anything is made: programs, matching credentials, a region that is on, room in quotas."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation import doctor
from automation.bootstrap.context import Account, Context
from automation.bootstrap.step import Finding, blocked, done
from automation.bootstrap.steps.images import platforms_of
from automation.images.options import PLATFORMS
from automation.images.pins import Pins, read_pins, require_checksums
from automation.images.tools import choose_tool

if TYPE_CHECKING:
    from aphex.cluster_config import ClusterConfig
    from automation.access import AwsAccess

# Service, quota code, what it limits: https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html
_VPCS = ("vpc", "L-F678F1CE", "VPCs")
_ADDRESSES = ("ec2", "L-0263D0A3", "Elastic IPs")
_CLUSTERS = ("eks", "L-1194D53C", "EKS clusters")
_ZONES = 3


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A limit of an account in a region.

    Attributes:
        name: what is limited.
        limit: how many there may be; None when it could not be read.
        used: how many there are.
        needed: how many will be made.
        code: service and code, to ask for more.
    """

    name: str
    limit: int | None
    used: int
    needed: int
    code: str


def repository(clone_url: str | None) -> doctor.Finding:
    """Whether the pipeline's repository is configured."""
    if clone_url:
        return doctor.Finding(check="repository", verdict="ok", found=clone_url)
    return doctor.Finding(
        check="repository",
        verdict="fail",
        found="the configuration names none",
        fix="Set pipeline.repository in aphex-config.yaml to the clone URL.",
    )


def region(name: str, status: str | None) -> doctor.Finding:
    """Whether the account may use the region; `status` is EC2's word, None when there is no such region."""
    if status in ("opt-in-not-required", "opted-in"):
        return doctor.Finding(check="region", verdict="ok", found=name)
    return doctor.Finding(
        check="region",
        verdict="fail",
        found=f"{name} is {'not enabled in the account' if status else 'no region of EC2'}",
        fix=f"Enable it: aws account enable-region --region-name {name} (it takes some minutes), or choose another.",
    )


def cluster_account(config: ClusterConfig, account: Account) -> doctor.Finding:
    """Whether the cluster's file and the caller's credentials mean the same account and region."""
    wanted, found = (config.account, config.region), (account.number, account.region)
    if wanted == found:
        return doctor.Finding(check="account", verdict="ok", found=f"{account.number} as {account.caller}")
    return doctor.Finding(
        check="account",
        verdict="fail",
        found=f"the credentials are for {' in '.join(found)}, the cluster is for {' in '.join(wanted)}",
        fix="Set AWS_PROFILE and AWS_DEFAULT_REGION, or correct account and region in the cluster's file.",
    )


def quota(found: Quota) -> doctor.Finding:
    """Whether there is room for what will be made."""
    check = f"quota of {found.name}"
    if found.limit is None:
        return doctor.Finding(check=check, verdict="warn", found="may not be read", fix="The deployment will tell.")
    room = f"{found.used} of {found.limit} used, {found.needed} needed"
    if found.limit - found.used >= found.needed:
        return doctor.Finding(check=check, verdict="ok", found=room)
    service, code = found.code.split("/")
    return doctor.Finding(
        check=check,
        verdict="fail",
        found=room,
        fix="Ask for more: aws service-quotas request-service-quota-increase "
        f"--service-code {service} --quota-code {code} --desired-value {found.used + found.needed}",
    )


def engine(built: bool) -> doctor.Finding:
    """Whether the Pulumi program is here, or has to be built first."""
    if built:
        return doctor.Finding(check="Pulumi", verdict="ok", found="is here")
    go = doctor.go()
    fix = "It is built from its Go module first, in some minutes."
    return go if go.verdict == "fail" else doctor.Finding(check="Pulumi", verdict="warn", found="is not here", fix=fix)


def image_build(pins: Pins, platforms: tuple[str, ...], search: Callable[[], object]) -> doctor.Finding:
    """Whether the stages' images can be built: nobody wants to learn that after a cluster was made for them.

    Args:
        pins: what is downloaded into them, and its checksums.
        platforms: for which machines.
        search: looks for the programs that build, and raises an AphexError when there are none.
    """
    check, instead = "images", "Or name images that exist: pipeline.images in aphex-config.yaml."
    try:
        search()
        require_checksums(pins, platforms)
    except AphexError as error:
        found, fix = error.message.rstrip("."), f"{error.hint.rstrip('.')}. {instead}"
        return doctor.Finding(check=check, verdict="fail", found=found, fix=fix)
    return doctor.Finding(check=check, verdict="ok", found="can be built")


def judged(findings: Iterable[doctor.Finding]) -> Finding:
    """All findings as one: blocked when any fails, with all that fail."""
    found = list(findings)
    failed = [each for each in found if each.verdict == "fail"]
    if failed:
        lines = [f"{each.check}: {each.found}. {each.fix}" for each in failed]
        return blocked(f"{len(failed)} of {len(found)} are not met", "Mend them, and run this again.", *lines)
    warned = [f"{each.check}: {each.found}. {each.fix}" for each in found if each.verdict == "warn"]
    return done(f"all {len(found)} are met", *warned)


def read_region(aws: AwsAccess, name: str) -> str | None:
    """EC2's opt-in status of a region; None when there is no such region."""
    filters = [{"Name": "region-name", "Values": [name]}]
    found = aws.client("ec2").describe_regions(AllRegions=True, Filters=filters)["Regions"]
    return next((str(each["OptInStatus"]) for each in found if each["RegionName"] == name), None)


def read_quotas(aws: AwsAccess, config: ClusterConfig) -> list[Quota]:
    """The quotas that a cluster stack comes near to."""
    ec2, eks = aws.client("ec2"), aws.client("eks")
    vpcs, addresses = len(ec2.describe_vpcs()["Vpcs"]), len(ec2.describe_addresses()["Addresses"])
    clusters = sum(len(page["clusters"]) for page in eks.get_paginator("list_clusters").paginate())
    gateways = _ZONES if config.network.nat == "per-zone" else 1
    counts = ((_VPCS, vpcs, 1), (_ADDRESSES, addresses, gateways), (_CLUSTERS, clusters, 1))
    return [
        Quota(name=name, limit=_limit(aws, service, code), used=used, needed=needed, code=f"{service}/{code}")
        for (service, code, name), used, needed in counts
    ]


def _limit(aws: AwsAccess, service: str, code: str) -> int | None:
    from botocore.exceptions import ClientError

    quotas: Any = aws.client("service-quotas")
    for call in (quotas.get_service_quota, quotas.get_aws_default_service_quota):
        try:
            return int(call(ServiceCode=service, QuotaCode=code)["Quota"]["Value"])
        except ClientError as error:
            if error.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied"):
                return None
    return None


@dataclass(frozen=True, kw_only=True)
class PrerequisitesStep:
    """Looks, and makes nothing."""

    context: Context
    name: str = "prerequisites"
    title: str = "Prerequisites"
    makes: str = ""

    def check(self) -> Finding:
        """Whether everything that has to be there before is there."""
        return judged(check() for check in self._checks())

    def do(self) -> None:
        """There is nothing to do: what is missing is a person's to mend."""

    def _checks(self) -> Iterable[Callable[[], doctor.Finding]]:
        context = self.context
        if context.choice.cluster == "sandbox":
            yield from doctor.checks(context.options.name)[:-1]
            return
        yield lambda: doctor.programs(("git",))
        yield lambda: engine(_pulumi_is_here())
        if context.in_sandbox or context.account is None:
            return
        account = context.account
        yield lambda: repository(context.subject.clone_url)
        yield lambda: region(account.region, read_region(context.aws(), account.region))
        if context.choice.eks is not None:
            cluster = context.cluster()
            if cluster is None:
                return
            yield lambda: cluster_account(cluster, account)
            if context.cluster_outputs() is None:
                yield doctor.aws_cli
                if not all(context.subject.images):
                    platforms = platforms_of(cluster) or PLATFORMS
                    yield lambda: image_build(read_pins(), platforms, partial(choose_tool, None, debootstrap=False))
                for each in read_quotas(context.aws(), cluster):
                    yield partial(quota, each)


def _pulumi_is_here() -> bool:
    from sandbox.toolchain import cache_root

    return shutil.which("pulumi") is not None or any((cache_root() / "toolchain").glob("pulumi-*/bin/pulumi"))
