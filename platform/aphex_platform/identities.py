"""Who acts in a pipeline: an identity for each kind of stage, one name for IAM role and service account."""

from __future__ import annotations

from enum import StrEnum

from aphex.names import PipelineNames
from aphex.run import StageKind
from aphex_platform.settings import AwsSettings

TOKEN_AUDIENCE = "sts.amazonaws.com"


class Identity(StrEnum):
    """An IAM role with the service account that may assume it."""

    VALIDATE = "validate"
    BUILD = "build"
    SELF_UPDATE = "self-update"
    DEPLOY = "deploy"
    TEST = "test"
    EXIT = "exit"
    PULL_REQUEST = "pull-request"


IDENTITY_OF_KIND = {
    StageKind.VALIDATE: Identity.VALIDATE,
    StageKind.BUILD: Identity.BUILD,
    StageKind.SELF_UPDATE: Identity.SELF_UPDATE,
    StageKind.ENVIRONMENT: Identity.DEPLOY,
    StageKind.TEST: Identity.TEST,
    StageKind.EXIT: Identity.EXIT,
}

# Service accounts without an AWS role: Argo's own helpers in the namespace.
EXECUTOR = "executor"
EXECUTOR_TOKEN = "executor.service-account-token"
SENSOR = "sensor"
EVENT_SOURCE = "event-source"


def run_prefix(pipeline: str) -> str:
    """What the names of the pipeline's runs begin with."""
    return f"{pipeline}-"


def pull_request_prefix(pipeline: str) -> str:
    """What the names of a pull request's runs begin with; no other run's name does, as nothing else adds a dash."""
    return f"{run_prefix(pipeline)}pr-"


def role_arn(aws: AwsSettings, pipeline: str, identity: Identity) -> str:
    """ARN of an identity's role; it follows from the names, so manifests need not wait for AWS."""
    return f"arn:{aws.partition}:iam::{aws.account}:role/{PipelineNames(pipeline).role(identity)}"
