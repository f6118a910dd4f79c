"""What aphex-cluster.yaml says of who reaches a cluster: its API, Argo's UI and the pipelines' webhooks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from aphex.values import CertificateArn, Duration, Host, Model, SecretArn, SourceCidr, is_private

# What https://api.github.com/meta lists as `hooks`, as of 2026.
GITHUB_HOOKS = ("140.82.112.0/20", "143.55.64.0/20", "185.199.108.0/22", "192.30.252.0/22")


class Api(Model):
    """Who reaches the endpoint of the Kubernetes API. It is always reachable from inside the network."""

    access: Literal["restricted", "private"] = Field(
        default="restricted",
        description="`restricted`: also from the addresses in `cidrs`. `private`: from inside the network alone, "
        "which is then where the commands that deploy the cluster have to run.",
    )
    cidrs: list[SourceCidr] = Field(
        default_factory=list, description="Public addresses that reach the endpoint, such as those of your offices."
    )

    @model_validator(mode="after")
    def _never_open(self) -> Api:
        """`cidrs` has at least one entry when `access` is `restricted`, each public, and none when it is `private`."""
        if self.access == "private" and self.cidrs:
            raise ValueError("cidrs has entries, but access is private. Remove them, or choose access: restricted.")
        if self.access == "restricted" and not self.cidrs:
            raise ValueError(
                "needs cidrs: the public addresses from which you reach the cluster, such as [203.0.113.7/32]; "
                "or access: private."
            )
        inside = [cidr for cidr in self.cidrs if is_private(cidr)]
        if inside:
            raise ValueError(
                f"cidrs has {', '.join(inside)}, which no public endpoint ever sees. Write the public addresses of "
                "that network."
            )
        return self


class Login(Model):
    """How people log in to Argo's UI. There is no way without a login."""

    mode: Literal["client", "sso"] = Field(
        default="client",
        description="`client`: with a token of a Kubernetes service account. `sso`: by OpenID Connect.",
    )
    issuer: str | None = Field(
        default=None,
        pattern=r"^https://\S+$",
        description="The identity provider's URL, such as https://accounts.google.com.",
    )
    client_id: str | None = Field(
        default=None, min_length=1, description="Id of the client that the provider knows Argo by."
    )
    client_secret: SecretArn | None = Field(
        default=None, description="Secret in Secrets Manager whose text is the client's secret."
    )
    scopes: list[str] = Field(
        default=["groups"],
        description="What the provider is asked for, beside `openid`. Without groups everyone may look.",
    )
    viewer_groups: list[str] = Field(
        default_factory=list, description="Groups that may look at runs. Without it: everyone who can log in."
    )
    operator_groups: list[str] = Field(
        default_factory=list, description="Groups that may also start, stop and retry runs."
    )
    session: Duration = Field(default="10h", description="How long a login lasts.")

    @model_validator(mode="after")
    def _complete(self) -> Login:
        """`sso` needs `issuer`, `client_id` and `client_secret`; the groups are those of `sso`."""
        given = {"issuer": self.issuer, "client_id": self.client_id, "client_secret": self.client_secret}
        lacking = [name for name, value in given.items() if value is None]
        if self.mode == "sso" and lacking:
            raise ValueError(f"needs {' and '.join(lacking)}, because mode is sso.")
        names = (*given, "scopes", "viewer_groups", "operator_groups", "session")
        fields = type(self).model_fields
        of_sso = [name for name in names if getattr(self, name) != fields[name].get_default(call_default_factory=True)]
        if self.mode == "client" and of_sso:
            raise ValueError(
                f"has {' and '.join(sorted(of_sso))}, but mode is client. Choose mode: sso, or remove them."
            )
        return self


class Ui(Model):
    """How people reach Argo's UI, always with TLS and a login."""

    reach: Literal["port-forward", "internal", "internet"] = Field(
        description="`port-forward`: with kubectl alone, which costs nothing. `internal`: by a load balancer inside "
        "the network. `internet`: by a load balancer that the addresses in `cidrs` reach.",
    )
    host: Host | None = Field(
        default=None,
        description="Name under which a load balancer serves the UI. You make its record in DNS, an alias or CNAME for "
        "the load balancer, whose own name `kubectl -n argo get ingress` shows.",
    )
    certificate: CertificateArn | None = Field(default=None, description="The host's certificate in ACM.")
    cidrs: list[SourceCidr] = Field(
        default_factory=list,
        description="Addresses that reach the load balancer. Without it, and inside the network: the network's own.",
    )
    login: Login = Field(default_factory=Login, description="How people log in.")

    @model_validator(mode="after")
    def _complete(self) -> Ui:
        """A load balancer needs `host` and `certificate`, one on the internet also `cidrs`; SSO needs one of them."""
        balanced = {"host": self.host, "certificate": self.certificate, "cidrs": self.cidrs or None}
        if self.reach == "port-forward":
            extra = [name for name, value in balanced.items() if value is not None]
            if extra:
                raise ValueError(f"has {' and '.join(extra)}, but reach is port-forward. Choose internal or internet.")
            if self.login.mode == "sso":
                raise ValueError(
                    "login.mode is sso, which needs an address for its redirects. Choose internal or internet."
                )
            return self
        needed = ["host", "certificate", *(["cidrs"] if self.reach == "internet" else [])]
        lacking = [name for name in needed if balanced[name] is None]
        if lacking:
            raise ValueError(f"needs {' and '.join(lacking)}, because reach is {self.reach}.")
        return self


class Webhooks(Model):
    """How the git host reaches the pipelines' webhooks: by a load balancer on the internet."""

    host: Host = Field(
        description="Name under which webhooks are received. You make its record in DNS, an alias or CNAME for the "
        "load balancer, which is there with the first pipeline; `kubectl get ingress -A` shows its own name."
    )
    certificate: CertificateArn = Field(description="The host's certificate in ACM.")
    cidrs: list[SourceCidr] = Field(
        default=list(GITHUB_HOOKS),
        min_length=1,
        description="Addresses that reach the webhooks. Without it: those that GitHub sends them from.",
    )
