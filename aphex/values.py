"""The kinds of value in aphex-config.yaml and aphex-cluster.yaml, and what every model of them is."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from aphex.regions import region_problem

# Wider blocks have no one owner; two halves of the internet would be the internet.
_WIDEST_SOURCE = 8
# RFC 1918, and RFC 6598 for those that providers share.
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def duration_seconds(text: str) -> int:
    """Seconds in a duration such as `90s`, `10m` or `1h30m`.

    Raises:
        ValueError: `text` is not such a duration, or is zero.
    """
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total == 0:
        raise ValueError(f'"{text}" is not a duration. Write it as 90s, 10m or 1h30m.')
    return total


def _duration(text: str) -> str:
    duration_seconds(text)
    return text


def _region(name: str) -> str:
    problem = region_problem(name)
    if problem:
        raise ValueError(problem)
    return name


def _account(value: object) -> object:
    if isinstance(value, int):
        raise ValueError(f'is a number here, which loses leading zeros. Put it in quotes: "{value:012d}".')
    return value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty. Write a command, or remove the entry.")
    return text


def network_of(cidr: str) -> IPv4Network:
    """The IPv4 network that a CIDR block such as `10.64.0.0/16` names.

    Raises:
        ValueError: `cidr` is no such block.
    """
    try:
        loose = ip_network(cidr, strict=False)
    except ValueError:
        raise ValueError(f'"{cidr}" is not a CIDR block. Write it as 203.0.113.0/24.') from None
    if not isinstance(loose, IPv4Network):
        raise ValueError(f'"{cidr}" is IPv6, which is not supported here. Write an IPv4 block such as 203.0.113.0/24.')
    if str(loose) != cidr:
        raise ValueError(f'"{cidr}" is not a CIDR block. Did you mean {loose}?')
    return loose


def is_private(cidr: str) -> bool:
    """Whether a CIDR block has addresses of private networks, which the internet does not know."""
    return any(network_of(cidr).subnet_of(network_of(block)) for block in _PRIVATE)


def _cidr(text: str) -> str:
    network_of(text)
    return text


def _source(text: str) -> str:
    if network_of(text).prefixlen < _WIDEST_SOURCE:
        raise ValueError(
            f'"{text}" is open to a large part of the internet. Name the networks that need access, '
            f"each of /{_WIDEST_SOURCE} or narrower."
        )
    return text


# The titles are what the configuration reference calls these kinds of value.
Region = Annotated[str, AfterValidator(_region), Field(title="AWS region")]
Account = Annotated[str, BeforeValidator(_account), Field(title="AWS account", pattern=r"^\d{12}$")]
Duration = Annotated[str, AfterValidator(_duration), Field(title="duration")]
ShellText = Annotated[str, AfterValidator(_not_blank), Field(title="shell command")]
RoleArn = Annotated[str, Field(title="role ARN", pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$")]

Cidr = Annotated[str, AfterValidator(_cidr), Field(title="CIDR block")]
SourceCidr = Annotated[str, AfterValidator(_source), Field(title="CIDR block")]
Host = Annotated[
    str,
    Field(title="host name", pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$", max_length=253),
]
CertificateArn = Annotated[
    str, Field(title="certificate ARN", pattern=r"^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+$")
]
SecretArn = Annotated[
    str, Field(title="secret ARN", pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+$")
]


class Model(BaseModel):
    """What every part of the configuration is: immutable, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)
