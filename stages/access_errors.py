"""Why an account could not be reached, and what to do: AWS's terse answers told so that somebody can act on them.

Error codes: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html and
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from stages.errors import StageError

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_REGION_OFF = frozenset(
    {"RegionDisabledException", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "OptInRequired"}
)
_MALFORMED = frozenset({"ValidationError", "ValidationException", "InvalidParameterValue"})
_TOO_LARGE = frozenset({"PackedPolicyTooLarge", "PackedPolicyTooLargeException"})
_WEB_IDENTITY = "AssumeRoleWithWebIdentity"


class AccessProblem(StageError):
    """An account cannot be reached."""


class RoleRefused(AccessProblem):
    """AWS denied that a role be assumed; `role` is its ARN."""

    def __init__(self, message: str, *, hint: str, role: str) -> None:
        super().__init__(message, hint=hint, details={"role": role})
        self.role = role


class IdentityMissing(AccessProblem):
    """There is no identity from which a role could be assumed."""

    def __init__(self) -> None:
        super().__init__(
            "The stage has no AWS identity: neither a web identity (IRSA) nor container credentials "
            "(EKS Pod Identity).",
            hint="Check that the stage's pod has its service account, and that the service account has its role: "
            "the annotation eks.amazonaws.com/role-arn or a Pod Identity association. On a machine of your own, "
            "log in to AWS.",
        )


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What was tried.

    Attributes:
        role: ARN of the role that was to be assumed; None with the pipeline's own identity.
        region: the target's region.
        external_id: what was sent; None when nothing was.
        callers: ARNs of the roles that have to be trusted, the one that tried first.
    """

    role: str | None
    region: str
    external_id: str | None = None
    callers: Sequence[str] = ()


def trust_statement(callers: Sequence[str], external_id: str | None) -> str:
    """The statement for the trust policy of a role, as JSON to paste."""
    statement: dict[str, object] = {
        "Effect": "Allow",
        "Principal": {"AWS": list(callers)},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }
    if external_id is not None:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return json.dumps(statement, indent=2)


def role_of(arn: str) -> str:
    """The role of a session's ARN; any other ARN as it is. A role's path is not in the ARN of its sessions."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or not parts[5].startswith("assumed-role/"):
        return arn
    return f"arn:{parts[1]}:iam::{parts[4]}:role/{parts[5].split('/')[1]}"


def is_denied(error: Exception) -> bool:
    """Whether AWS denied a call."""
    return _code(error) in _DENIED


def tags_refused(error: Exception) -> bool:
    """Whether a role would be assumed, but for its session's tags."""
    return is_denied(error) and "sts:TagSession" in str(error)


def tags_too_large(error: Exception) -> bool:
    """Whether a session has no room for its tags beside those that it inherits, such as EKS Pod Identity's."""
    return _code(error) in _TOO_LARGE


def explain(error: Exception, attempt: Attempt) -> AccessProblem:
    """What an error of botocore means for access to an account."""
    from botocore.exceptions import ClientError, NoCredentialsError, ParamValidationError

    if isinstance(error, AccessProblem):
        return error
    if isinstance(error, NoCredentialsError):
        return IdentityMissing()
    if (isinstance(error, OSError) and error.filename) or (
        isinstance(error, ParamValidationError) and "WebIdentityToken" in str(error)
    ):
        return AccessProblem(
            f"The stage's web identity token cannot be used: {' '.join(_text(error).split())}",
            hint="The kubelet writes AWS_WEB_IDENTITY_TOKEN_FILE when the service account of the pod has the "
            "annotation eks.amazonaws.com/role-arn. Check the pod's volumes; on a machine of your own, unset the "
            "variable or correct it.",
        )
    if isinstance(error, ClientError):
        if error.operation_name == _WEB_IDENTITY:
            return _web_identity(error, attempt)
        if attempt.role is not None and error.operation_name == "AssumeRole" and is_denied(error):
            return _refused(error, attempt, attempt.role)
        if _code(error) in _EXPIRED:
            return AccessProblem(
                f"The stage's own AWS credentials are expired: {_text(error)}",
                hint="In a pod they are renewed by Kubernetes: check the node's clock. Elsewhere, log in again.",
            )
        if _code(error) in _REGION_OFF:
            return _region_off(error, attempt)
    if isinstance(error, ParamValidationError) or _code(error) in _MALFORMED:
        return _malformed(error, attempt)
    what = f"the role {attempt.role}" if attempt.role else "the stage's own identity"
    return AccessProblem(
        f"AWS could not be asked with {what} in {attempt.region}: {_text(error)}",
        hint="Check the network of the pod: proxy, DNS, and the VPC endpoint of STS if there is one; then start again.",
    )


def _web_identity(error: Exception, attempt: Attempt) -> AccessProblem:
    own = attempt.callers[0] if attempt.callers else "of the pod"
    if _code(error) in _EXPIRED:
        return AccessProblem(
            f"The pod's web identity token is expired: {_text(error)}",
            hint="The kubelet renews AWS_WEB_IDENTITY_TOKEN_FILE while the pod runs. Check the node's clock and "
            "kubelet, then start again.",
        )
    if _code(error) in _DENIED:
        return AccessProblem(
            f"The pod may not assume its own role {own}: {_text(error)}",
            hint="Its trust policy must name the pod's service account (system:serviceaccount:NAMESPACE:NAME). "
            "`python -m automation up` restores it.",
        )
    return AccessProblem(
        f"AWS does not accept the pod's web identity token for the role {own}: {_text(error)}",
        hint="The IAM OIDC provider of the role's account must be that of this cluster, with the audience "
        "sts.amazonaws.com.",
    )


def _refused(error: Exception, attempt: Attempt, role: str) -> RoleRefused:
    caller = attempt.callers[0] if attempt.callers else "the stage's own identity"
    if "explicit deny" in str(error):
        return RoleRefused(
            f"{caller} is explicitly denied to assume the role {role}: {_text(error)}",
            hint="A Deny statement is in the way: in a service control policy of the organization, a permissions "
            "boundary, or the trust policy. No Allow statement helps.",
            role=role,
        )
    sent = f'the external id "{attempt.external_id}"' if attempt.external_id is not None else "no external id"
    callers = attempt.callers or ["ARN of the pipeline's role"]
    return RoleRefused(
        f"{caller} may not assume the role {role} with {sent}: {_text(error)}\n"
        "AWS gives this answer also when there is no such role, or when its trust policy asks for another external id.",
        hint="1. Check that the role exists: its name, path and account are part of the ARN.\n"
        "2. If its trust policy asks for sts:ExternalId, set environments[].external_id to the same value.\n"
        f"3. Its trust policy needs this statement:\n{trust_statement(callers, attempt.external_id)}",
        role=role,
    )


def _region_off(error: Exception, attempt: Attempt) -> AccessProblem:
    account = attempt.role.split(":")[4] if attempt.role else "the pipeline's account"
    return AccessProblem(
        f"The region {attempt.region} does not accept the credentials of {account}: {_text(error)}",
        hint=f"Regions that are not on by default have to be enabled in each account: AWS console > Account > "
        f"AWS Regions, or `aws account enable-region --region-name {attempt.region}`, which takes some minutes.",
    )


def _malformed(error: Exception, attempt: Attempt) -> AccessProblem:
    """A value that botocore or AWS refuses, whoever asks."""
    target = f"with the role {attempt.role}" if attempt.role else "with the stage's own identity"
    return AccessProblem(
        f"AWS takes no such request {target} in {attempt.region}: {_text(error)}",
        hint="A value in it is too short, too long or misspelled: compare it with role and external_id in "
        "aphex-config.yaml. If it is in neither, it is a fault of this program.",
    )


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _text(error: Exception) -> str:
    """AWS's own words, without botocore's frame around them."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return f"{_code(error)}: {response.get('Error', {}).get('Message', '')}".rstrip(": ")
    return f"{type(error).__name__}: {error}"
