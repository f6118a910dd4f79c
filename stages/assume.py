"""Assumes a role from the stage's own identity, with tags that tell in CloudTrail which run it was for.

The same code gives boto3 its credentials in this process and, as `python -m stages credentials FILE`, every other
program: AWS SDKs and CLIs call it through `credential_process` and call it again before what it gave them expires.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.access_errors import (
    AccessProblem,
    Attempt,
    IdentityMissing,
    explain,
    role_of,
    tags_refused,
    tags_too_large,
    trust_statement,
)
from stages.clients import patient

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from botocore.session import Session

# The identity's variables, as programs for another account have them: out of the sight of SDKs, which would prefer
# them to a profile.
KEPT_PREFIX = "APHEX_IDENTITY_"
IDENTITY_VARIABLES = (
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
_NODE_IDENTITY = "iam-role"  # botocore's name for the machine's own role, which is not the stage's
_MAX_TAG = 256
_CREATING = (
    threading.Lock()
)  # of clients: sessions, which botocore does not share between threads by itself, are shared

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Assumption:
    """A role and how it is assumed; nothing of it is secret.

    Attributes:
        role: its ARN.
        session: name of the session.
        region: the target's region.
        sts_region: the region whose STS is asked: the stage's own, because the target's may be closed to the
            pipeline's account.
        external_id: what the role's trust policy asks for.
        tags: session tags. They are not transitive: CDK's bootstrap roles, which are assumed next, would then have
            to allow sts:TagSession, and those of older bootstraps do not.
        callers: further roles that will assume it, for errors.
    """

    role: str
    session: str
    region: str
    sts_region: str
    external_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    callers: tuple[str, ...] = ()


def hidden(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with those of the identity out of sight."""
    return {KEPT_PREFIX + key if key in IDENTITY_VARIABLES else key: value for key, value in environment.items()}


def restored(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables as they were before `hidden`."""
    kept = {key.removeprefix(KEPT_PREFIX): value for key, value in environment.items() if key.startswith(KEPT_PREFIX)}
    return {key: value for key, value in environment.items() if key not in IDENTITY_VARIABLES} | kept


def tag_value(text: str) -> str:
    """A text as a session tag may have it."""
    return "".join(each if each.isalnum() or each in " _.:/=+-@" else "_" for each in text)[:_MAX_TAG]


@cache
def _descriptions() -> Loader:
    """AWS's descriptions of its services, which each session would read and parse again."""
    from botocore.session import Session as CoreSession

    loader: Loader = CoreSession().get_component("data_loader")
    return loader


def _new_session(region: str | None) -> Session:
    from botocore.session import Session as CoreSession

    session = patient(CoreSession())
    session.register_component("data_loader", _descriptions())
    if region is not None:
        session.set_config_variable("region", region)
    return session


def own_session(region: str | None = None) -> Session:
    """A session with the stage's own identity, never that of the machine it happens to run on.

    Args:
        region: whose STS exchanges a web identity; that of the variables when None.

    Raises:
        IdentityMissing: there is none.
    """
    session = _new_session(region)
    session.get_component("credential_provider").remove(_NODE_IDENTITY)
    try:
        found = session.get_credentials()
    except Exception as error:
        raise explain(error, Attempt(role=None, region="")) from error
    if found is None:
        raise IdentityMissing
    return session


def assume(assumption: Assumption, own: Session, report: Report | None = None) -> dict[str, Any]:
    """Assume the role once; returns `Credentials` as STS gives them.

    A role whose trust policy does not allow session tags, or whose sessions have no room for them, is assumed without
    them, which is told.

    Raises:
        AccessProblem: it cannot be assumed; says why and what to do.
    """
    from botocore.config import Config

    config = Config(connect_timeout=10, read_timeout=30)
    with _CREATING:
        sts: Any = own.create_client("sts", region_name=assumption.sts_region, config=config)
    request: dict[str, Any] = {"RoleArn": assumption.role, "RoleSessionName": assumption.session}
    if assumption.external_id is not None:
        request["ExternalId"] = assumption.external_id
    tags = [{"Key": key, "Value": tag_value(value)} for key, value in sorted(assumption.tags.items())]
    try:
        try:
            answer = sts.assume_role(**request, Tags=tags) if tags else sts.assume_role(**request)
        except Exception as error:
            if not tags or not (tags_refused(error) or tags_too_large(error)):
                raise
            answer = sts.assume_role(**request)
            if report is not None:
                report(tags_warning(assumption, _callers(assumption, sts), error))
    except Exception as error:
        attempt = Attempt(
            role=assumption.role,
            region=assumption.region,
            external_id=assumption.external_id,
            callers=_callers(assumption, sts),
        )
        raise explain(error, attempt) from error
    credentials: dict[str, Any] = answer["Credentials"]
    return credentials


def tags_warning(assumption: Assumption, callers: tuple[str, ...], error: Exception) -> str:
    """What is said when a role is assumed without session tags, after the error that came with them."""
    if tags_too_large(error):
        return (
            f"warning: a session of the role {assumption.role} has no room for the run's tags beside those of EKS Pod "
            "Identity: it is assumed without them, and CloudTrail shows the run in the session's name alone."
        )
    statement = trust_statement(callers, assumption.external_id)
    return (
        f"warning: the trust policy of the role {assumption.role} does not allow sts:TagSession: it is assumed without "
        f"tags, and CloudTrail shows the run in the session's name alone. This statement allows both:\n{statement}"
    )


def _callers(assumption: Assumption, sts: Any) -> tuple[str, ...]:
    """Who tries it, then who else will: as well as it can be known."""
    own = os.environ.get("AWS_ROLE_ARN")
    if own is None:
        try:
            own = role_of(sts.get_caller_identity()["Arn"])
        except Exception:  # noqa: BLE001  # the error that is being explained matters, not this one
            own = None
    return tuple(dict.fromkeys([*([own] if own else []), *assumption.callers]))


def refreshing_session(assumption: Assumption, own: Session, report: Report | None = None) -> Session:
    """A botocore session with the role, which is assumed when it is first needed, and again before it expires.

    Args:
        assumption: the role.
        own: a session with the stage's own identity, which botocore renews.
        report: is told of a warning, once.
    """
    from botocore.credentials import CredentialProvider, DeferredRefreshableCredentials

    told: list[str] = []

    def once(line: str) -> None:
        if report is not None and not told:
            told.append(line)
            report(line)

    def fetch() -> dict[str, str]:
        return _metadata(assume(assumption, own, once))

    class Assumed(CredentialProvider):
        METHOD = "assume-role"
        CANONICAL_NAME = "AphexAssumed"

        def load(self) -> Any:
            return DeferredRefreshableCredentials(refresh_using=fetch, method=self.METHOD)

    session = _new_session(assumption.region)
    session.get_component("credential_provider").insert_before("env", Assumed())
    return session


def _metadata(credentials: Mapping[str, Any]) -> dict[str, str]:
    return {
        "access_key": credentials["AccessKeyId"],
        "secret_key": credentials["SecretAccessKey"],
        "token": credentials["SessionToken"],
        "expiry_time": _time(credentials["Expiration"]),
    }


def _time(moment: Any) -> str:
    if not isinstance(moment, datetime):
        return str(moment)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_assumption(assumption: Assumption, file: Path) -> None:
    """Write it where `print_credentials` reads it."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(asdict(assumption), stream)


def print_credentials(file: Path) -> int:
    """The credential process: assume what the file says and print the credentials for an SDK; returns the status."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        assumption = Assumption(**{**values, "callers": tuple(values["callers"])})
        given = restored(os.environ)
        os.environ.clear()
        os.environ.update(given)
        credentials = assume(assumption, own_session(assumption.sts_region))
    except FileNotFoundError:
        print("The stage is over: credentials are given as long as it runs.", file=sys.stderr)
        return 1
    except AccessProblem as error:
        print(error, file=sys.stderr)
        return error.exit_code
    document = {
        "Version": 1,
        "AccessKeyId": credentials["AccessKeyId"],
        "SecretAccessKey": credentials["SecretAccessKey"],
        "SessionToken": credentials["SessionToken"],
        "Expiration": _time(credentials["Expiration"]),
    }
    json.dump(document, sys.stdout)
    return 0
