"""What belongs to a pipeline on AWS, as ARNs; all but the key's follow from names, so nobody has to ask AWS."""

from __future__ import annotations

from dataclasses import dataclass

from aphex.names import PipelineNames
from aphex_platform.identities import Identity, pull_request_prefix, role_arn
from aphex_platform.settings import AwsSettings, PlatformSettings


@dataclass(frozen=True)
class Belongings:
    """ARNs of a pipeline's own resources.

    Attributes:
        settings: name the pipeline and its account.
        key: ARN of the key, which AWS makes up.
    """

    settings: PlatformSettings
    key: str

    @property
    def aws(self) -> AwsSettings:
        """The account."""
        return self.settings.aws

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self.settings.pipeline

    @property
    def names(self) -> PipelineNames:
        """The names of all that is its own."""
        return PipelineNames(self.pipeline)

    def arn(self, service: str, resource: str, *, region: bool = True) -> str:
        """ARN of a resource of the pipeline's account."""
        place = self.aws.region if region else ""
        return f"arn:{self.aws.partition}:{service}:{place}:{self.aws.account}:{resource}"

    @property
    def bucket(self) -> str:
        """The artifact bucket."""
        return f"arn:{self.aws.partition}:s3:::{self.names.bucket(self.aws.account, self.aws.region)}"

    @property
    def log_bucket(self) -> str:
        """The bucket of its access logs."""
        return f"arn:{self.aws.partition}:s3:::{self.names.log_bucket(self.aws.account, self.aws.region)}"

    @property
    def table(self) -> str:
        """The run table."""
        return self.arn("dynamodb", f"table/{self.names.table}")

    @property
    def state_bucket(self) -> str | None:
        """The bucket of the Pulumi state, which pipelines share; none for another backend."""
        state = self.settings.state_bucket
        return f"arn:{self.aws.partition}:s3:::{state}" if state else None

    @property
    def boundary(self) -> str:
        """The managed policy that bounds its roles."""
        return self.arn("iam", f"policy/{self.names.boundary}", region=False)

    @property
    def managed_policies(self) -> str:
        """Pattern of the managed policies of its roles."""
        return self.arn("iam", f"policy{self.names.policy_path}*", region=False)

    def role(self, identity: Identity) -> str:
        """The role of an identity."""
        return role_arn(self.aws, self.pipeline, identity)

    def runs(self, identity: Identity) -> str:
        """Pattern of the runs that an identity acts in: what a pull request builds must not reach a deployment."""
        return f"{pull_request_prefix(self.pipeline)}*" if identity is Identity.PULL_REQUEST else "*"
