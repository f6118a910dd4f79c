"""The functions of the `aws` package that the programs call: who is calling, where, and what there is."""

from __future__ import annotations

import base64
from collections.abc import Callable

from sandbox.providers.aws.endpoint import Aws
from sandbox.providers.base import Properties, ProviderError, Secret, UnknownFunction


def call(aws: Aws, token: str, args: Properties) -> Properties:
    """The result of one function.

    Raises:
        UnknownFunction: there is no function of that name here.
    """
    if token not in _FUNCTIONS:
        raise UnknownFunction("aws", token, list(_FUNCTIONS))
    return _FUNCTIONS[token](aws, args)


def _caller_identity(aws: Aws, args: Properties) -> Properties:  # noqa: ARG001
    identity = aws.identity
    return {
        "accountId": identity["Account"],
        "arn": identity["Arn"],
        "userId": identity["UserId"],
        "id": identity["Account"],
    }


def _region(aws: Aws, args: Properties) -> Properties:
    region = args.get("region") or args.get("name") or aws.region
    return {
        "region": region,
        "name": region,
        "id": region,
        "description": aws.description(region),
        "endpoint": f"ec2.{region}.{aws.dns_suffix(region)}",
    }


def _partition(aws: Aws, args: Properties) -> Properties:  # noqa: ARG001
    partition, suffix = aws.partition(), aws.dns_suffix()
    reverse = ".".join(reversed(suffix.split(".")))
    return {"partition": partition, "id": partition, "dnsSuffix": suffix, "reverseDnsPrefix": reverse}


def _availability_zones(aws: Aws, args: Properties) -> Properties:
    """The zones of a region that are open to everybody and pass the filters."""
    region = args.get("region") or aws.region
    filters = [{"Name": item["name"], "Values": item["values"]} for item in args.get("filters") or []]
    if args.get("state"):
        filters.append({"Name": "state", "Values": [args["state"]]})
    found = aws.client("ec2", region).describe_availability_zones(
        AllAvailabilityZones=bool(args.get("allAvailabilityZones")), Filters=filters
    )
    left_out = {*(args.get("excludeNames") or []), *(args.get("excludeZoneIds") or [])}
    zones = sorted(
        (zone for zone in found["AvailabilityZones"] if not left_out & {zone["ZoneName"], zone["ZoneId"]}),
        key=lambda zone: zone["ZoneName"],
    )
    return {
        **args,
        "id": region,
        "region": region,
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone["ZoneId"] for zone in zones],
        "groupNames": sorted({zone.get("GroupName", region) for zone in zones}),
    }


def _addon_version(aws: Aws, args: Properties) -> Properties:
    """The version of an EKS add-on for a version of Kubernetes: the newest, or the one that EKS itself takes."""
    region = args.get("region") or aws.region
    name, kubernetes = args["addonName"], args["kubernetesVersion"]
    pages = aws.client("eks", region).get_paginator("describe_addon_versions")
    for page in pages.paginate(addonName=name, kubernetesVersion=kubernetes):
        for version in (version for addon in page["addons"] for version in addon["addonVersions"]):
            default = any(each.get("defaultVersion") for each in version["compatibilities"])
            if args.get("mostRecent") or default:
                return {**args, "id": name, "region": region, "version": version["addonVersion"]}
    raise ProviderError(f"EKS has no add-on {name} for Kubernetes {kubernetes}")


def _secret_version(aws: Aws, args: Properties) -> Properties:
    """One version of a secret; what it says is secret whatever the program does with it."""
    region = args.get("region") or aws.region
    asked = {"SecretId": args["secretId"], "VersionId": args.get("versionId"), "VersionStage": args.get("versionStage")}
    found = aws.client("secretsmanager", region).get_secret_value(
        **{key: value for key, value in asked.items() if value}
    )
    version = args.get("versionId") or args.get("versionStage") or "AWSCURRENT"
    return {
        "arn": found["ARN"],
        "createdDate": found["CreatedDate"].isoformat(),
        "id": f"{args['secretId']}|{version}",
        "region": region,
        "secretId": args["secretId"],
        "secretBinary": Secret(base64.b64encode(found.get("SecretBinary", b"")).decode()),
        "secretString": Secret(found.get("SecretString", "")),
        "versionId": found["VersionId"],
        "versionStage": args.get("versionStage"),
        "versionStages": found.get("VersionStages", []),
    }


_FUNCTIONS: dict[str, Callable[[Aws, Properties], Properties]] = {
    "aws:eks/getAddonVersion:getAddonVersion": _addon_version,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _availability_zones,
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:secretsmanager/getSecretVersion:getSecretVersion": _secret_version,
}
