"""`python -m automation bootstrap`, and `bootstrap account` for the accounts that pipelines deploy to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aphex.cluster_config import CLUSTER_FILE
from automation import options
from automation.console import Terminal
from automation.options import DEFAULT_CONFIG, DEFAULT_NAME, TargetOptions

if TYPE_CHECKING:
    from automation.bootstrap.account.request import AccountRequest

app = typer.Typer(help="From nothing to a first run.", invoke_without_command=True)

DEFAULT_CLUSTER = Path(CLUSTER_FILE)
_DEPLOYER = "aphex-deployer"
_TESTER = "aphex-tester"
_QUALIFIER = "hnb659fds"


@app.callback()
def bootstrap(
    context: typer.Context,
    config: options.Config = DEFAULT_CONFIG,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    cluster_config: Annotated[
        Path, typer.Option("--cluster-config", help="Describes a cluster that is made on EKS.", dir_okay=False)
    ] = DEFAULT_CLUSTER,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="Gets the context of a cluster that is made. [default: yours]")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="The webhook's address from outside. [default: the pipeline's ingress]")
    ] = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Start the first run and follow it.")] = True,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Show what would be done, and do nothing.")] = False,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """From nothing to a first run, after showing what will be made. Begun again, it goes on from where it is."""
    if context.invoked_subcommand is not None:
        return
    from automation.bootstrap.command import run_bootstrap

    where = TargetOptions(config=config, target=target, cluster=cluster, aws=aws, name=name)
    run_bootstrap(
        where,
        Terminal(json_output=json),
        cluster_file=cluster_config,
        url=url,
        kubeconfig=kubeconfig,
        plan_only=plan_only,
        yes=yes,
        run=run,
    )


@app.command()
def account(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The target account, twelve digits.")],
    region: Annotated[list[str], typer.Option("--region", help="Where stacks are deployed; may be repeated.")],
    profile: Annotated[str | None, typer.Option("--profile", help="Profile with credentials of the account.")] = None,
    pipeline_account: Annotated[
        str | None,
        typer.Option("--pipeline-account", help="The pipeline's account. [default: that of your own credentials]"),
    ] = None,
    role_name: Annotated[str, typer.Option("--role-name", help="Name of the deployment role.")] = _DEPLOYER,
    test_role: Annotated[bool, typer.Option("--test-role", help="Make a role for tests, which only reads.")] = False,
    test_role_name: Annotated[str, typer.Option("--test-role-name", help="Its name.")] = _TESTER,
    external_id: Annotated[
        str | None, typer.Option("--external-id", help="What the pipeline has to send along to assume the roles.")
    ] = None,
    execution_policy: Annotated[
        list[str] | None,
        typer.Option("--execution-policy", help="ARN of what CloudFormation may do here; may be repeated."),
    ] = None,
    administrator: Annotated[
        bool, typer.Option("--administrator", help="CloudFormation may do everything here: AdministratorAccess.")
    ] = False,
    permissions_boundary: Annotated[
        str | None, typer.Option("--permissions-boundary", help="ARN of a boundary for every role that is made.")
    ] = None,
    qualifier: Annotated[str, typer.Option("--qualifier", help="Of CDK's bootstrap.")] = _QUALIFIER,
    direct: Annotated[
        bool,
        typer.Option("--direct", help="No deployment role: CDK's own roles trust the pipeline's whole account."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    yes: options.Yes = False,
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    json: options.Json = False,
) -> None:
    """Make an account ready for a pipeline: the roles that it assumes, and CDK's bootstrap. Safe to run again."""
    from aphex_platform.target_roles import Trusted

    from aphex.errors import UsageError
    from aphex.regions import partition_of
    from automation.bootstrap.account import sessions
    from automation.bootstrap.account.command import run_account
    from automation.bootstrap.account.request import AccountRequest
    from automation.bootstrap.account.request import administrator as everything
    from automation.resolve import named_subject

    if administrator and execution_policy:
        raise UsageError("--administrator and --execution-policy exclude each other.", hint="Say one of them.")
    name = named_subject(TargetOptions(config=config, pipeline=pipeline)).pipeline
    session = sessions.target_session(profile, region[0])
    request: AccountRequest = AccountRequest(
        account=account,
        regions=tuple(dict.fromkeys(region)),
        trusted=Trusted(
            pipeline=name,
            account=pipeline_account or sessions.pipeline_account(profile, region[0]),
            partition=partition_of(region[0]),
            external_id=external_id,
        ),
        role=None if direct else role_name,
        test_role=test_role_name if test_role else None,
        boundary=permissions_boundary,
        execution_policies=(everything(region[0]),) if administrator else tuple(execution_policy or ()),
        qualifier=qualifier,
    )
    run_account(request, session, Terminal(json_output=json), dry_run=dry_run, yes=yes)
