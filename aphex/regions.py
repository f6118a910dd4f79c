"""Which AWS regions there are, so that a mistyped one is found before anything runs.

Source: the AWS General Reference's table of regions, all partitions.
"""

from __future__ import annotations

import difflib
import re

REGIONS = (
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
)

_PARTITIONS = (
    ("aws-us-gov", "us-gov-"),
    ("aws-cn", "cn-"),
    ("aws-iso-b", "us-isob-"),
    ("aws-iso-e", "eu-isoe-"),
    ("aws-iso-f", "us-isof-"),
    ("aws-iso", "us-iso-"),
    ("aws-eusc", "eusc-"),
)


def partition_of(region: str) -> str:
    """The AWS partition of a region: `aws` but for the few that are apart."""
    return next((partition for partition, prefix in _PARTITIONS if region.startswith(prefix)), "aws")


def region_problem(name: str) -> str | None:
    """What is wrong with a region's name, with the nearest right ones; None when nothing is."""
    if name in REGIONS:
        return None
    near = _neighbours(name) or difflib.get_close_matches(name, REGIONS, n=2, cutoff=0.6)
    advice = f" Did you mean {' or '.join(near)}?" if near else " Write it as eu-west-1."
    return f'"{name}" is not an AWS region.{advice}'


def _neighbours(name: str) -> list[str]:
    """Regions that differ only in their number."""
    stem = re.sub(r"\d+$", "", name)
    return [region for region in REGIONS if stem and stem != name and re.sub(r"\d+$", "", region) == stem]
