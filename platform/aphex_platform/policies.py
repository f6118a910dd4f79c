"""What each identity of a pipeline may do on AWS: policy documents, each the least that its stage needs.

All ARNs follow from names, so the documents are computed without asking AWS and can be tested as plain values.
"""

from __future__ import annotations

from aphex.config import Environment, PipelineConfig
from aphex.names import PipelineNames
from aphex_platform.belongings import Belongings
from aphex_platform.identities import Identity, pull_request_prefix
from aphex_platform.resource_policies import via_services
from aphex_platform.self_update_policy import self_update_statements
from aphex_platform.settings import PlatformSettings
from aphex_platform.statements import Document, Statement, allow, document

METRIC_NAMESPACE = "AphexPipeline"


def stage_policy(identity: Identity, config: PipelineConfig, settings: PlatformSettings, key_arn: str) -> Document:
    """What the identity may do, whole; what IAM has room for is for `policy_sizes` to say."""
    roles = assumable_roles(identity, config, settings)
    return document([*stage_statements(identity, settings, key_arn), *([assume("Roles", roles)] if roles else [])])


def stage_statements(identity: Identity, settings: PlatformSettings, key_arn: str) -> list[Statement]:
    """What the identity may do in the pipeline's own account, whatever its configuration."""
    own = Belongings(settings, key_arn)
    extra: dict[Identity, list[Statement]] = {
        Identity.VALIDATE: [],
        Identity.BUILD: [_write_artifacts(own, identity)],
        Identity.SELF_UPDATE: self_update_statements(own),
        Identity.DEPLOY: [_read_artifacts(own), _metrics()],
        Identity.TEST: [_read_artifacts(own)],
        Identity.EXIT: [_metrics(), _secrets(own)],
        Identity.PULL_REQUEST: [_write_artifacts(own, identity)],
    }
    return [*_record(own, identity), _use_key(own), *extra[identity]]


def assumable_roles(identity: Identity, config: PipelineConfig, settings: PlatformSettings) -> list[str]:
    """The roles that the identity may assume, sorted: those of the configuration that its stage acts as."""
    environments = environment_roles(config.environments, settings.aws.partition)
    tests = test_roles(config.environments)
    by_identity = {
        Identity.VALIDATE: {*environments, *tests},
        Identity.DEPLOY: {*environments},
        Identity.TEST: {*tests},
    }
    return sorted(by_identity.get(identity, set()))


def assume(sid: str, roles: list[str]) -> Statement:
    """The right to assume the roles, with tags that say for which run."""
    return allow(sid, ["sts:AssumeRole", "sts:TagSession"], roles)


def boundary_policy(settings: PlatformSettings, key_arn: str) -> Document:
    """What no role of the pipeline can do more than, whatever the self-update writes into its policies.

    The self-update changes them with the configuration; without this bound it could give one of them everything.
    """
    own = Belongings(settings, key_arn)
    return document(
        [
            allow(
                "Files",
                ["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"],
                [f"{own.bucket}/*"],
            ),
            allow("FindFiles", ["s3:ListBucket"], [own.bucket]),
            allow("RunRecord", ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], [own.table]),
            _use_key(own),
            _metrics(),
            _secrets(own),
            # Which roles environments have is the configuration's to say; each of them says itself whom it trusts.
            allow("Roles", ["sts:AssumeRole", "sts:TagSession"], [f"arn:{own.aws.partition}:iam::*:role/*"]),
        ]
    )


def environment_roles(environments: list[Environment], partition: str) -> list[str]:
    """The role of each environment; without one, the roles that `cdk bootstrap` made in its account and region."""
    return sorted(
        {
            each.role or f"arn:{partition}:iam::{each.account}:role/cdk-*-{each.account}-{each.region}"
            for each in environments
        }
    )


def test_roles(environments: list[Environment]) -> list[str]:
    """The roles that tests are run with."""
    return sorted({each.tests.role for each in environments if each.tests is not None and each.tests.role is not None})


def _record(own: Belongings, identity: Identity) -> list[Statement]:
    """Every stage keeps its log and result, reads those before it, and writes itself into the run's record."""
    record = allow("RunRecord", ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], [own.table])
    if identity is Identity.PULL_REQUEST:
        record["Condition"] = {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{pull_request_prefix(own.pipeline)}*"]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        }
    runs = own.runs(identity)
    return [
        allow("RunFiles", ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], [f"{own.bucket}/runs/{runs}"]),
        allow(
            "FindFiles",
            ["s3:ListBucket"],
            [own.bucket],
            Condition={"StringLike": {"s3:prefix": [f"runs/{runs}", "artifacts/*"]}},
        ),
        record,
    ]


def _write_artifacts(own: Belongings, identity: Identity) -> Statement:
    # A key is artifacts/COMMIT/RUN/FILE.
    keys = f"{own.bucket}/artifacts/*/{own.runs(identity)}"
    return allow("WriteArtifacts", ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"], [keys])


def _read_artifacts(own: Belongings) -> Statement:
    return allow("ReadArtifacts", ["s3:GetObject"], [f"{own.bucket}/artifacts/*"])


def _use_key(own: Belongings) -> Statement:
    """S3 and DynamoDB ask for the key with the rights of who asks them."""
    through = {"StringEquals": {"kms:ViaService": via_services(own.aws)}}
    return allow("Key", ["kms:Decrypt", "kms:GenerateDataKey"], [own.key], Condition=through)


def _metrics() -> Statement:
    # CloudWatch knows no resources for metrics; the namespace is what can be limited.
    condition = {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACE}}
    return allow("Metrics", ["cloudwatch:PutMetricData"], ["*"], Condition=condition)


def _secrets(own: Belongings) -> Statement:
    """Addresses of notification channels; Secrets Manager adds a random part to a secret's name in its ARN."""
    secrets = own.arn("secretsmanager", f"secret:{PipelineNames(own.pipeline).secrets_prefix}*")
    return allow("NotificationSecrets", ["secretsmanager:GetSecretValue"], [secrets])
