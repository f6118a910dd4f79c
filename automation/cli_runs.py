"""The commands on runs: what there is, a new one, one followed, its logs."""

from __future__ import annotations

from typing import Annotated

import typer

from aphex.run import Status
from automation import options
from automation.console import Terminal
from automation.options import DEFAULT_CONFIG, DEFAULT_NAME, TargetOptions

RunName = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run. [default: the latest]")]


def add_run_commands(app: typer.Typer) -> None:
    """Add the commands on runs to the command line."""
    app.command()(status)
    app.command()(run)
    app.command()(follow)
    app.command()(logs)
    app.command()(history)
    app.command()(doctor)


def status(
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    json: options.Json = False,
) -> None:
    """Show the sandbox, the pipeline and its latest runs."""
    from automation.run_commands import show_status

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    show_status(where, Terminal(json_output=json))


def run(
    commit: Annotated[str | None, typer.Option("--commit", help="Full SHA. [default: the branch's head]")] = None,
    branch: Annotated[str | None, typer.Option("--branch", help="[default: the pipeline's branch]")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the run to its end.")] = False,
    local: Annotated[
        bool,
        typer.Option("--local", help="Run the stages of the working tree (or of --commit) here, without a cluster."),
    ] = False,
    environment: Annotated[
        list[str] | None, typer.Option("--environment", help="With --local: only this one; may be repeated.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="With --local: the last stage, by its name or kind.")
    ] = None,
    notify: Annotated[bool, typer.Option("--notify", help="With --local: send notifications.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="With --local: keep the workspace and what the AWS stand-in holds.")
    ] = False,
    yes: options.Yes = False,
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    json: options.Json = False,
) -> None:
    """Start a run by hand, or run its stages on this machine with --local."""
    from automation.run_commands import check_local_options, start

    in_cluster = {"--branch": branch, "--follow": follow, "--pipeline": pipeline, "--target": target}
    in_cluster["--cluster"] = cluster
    here = {"--environment": environment, "--until": until, "--notify": notify, "--keep": keep, "--yes": yes}
    check_local_options(local, cluster_only=in_cluster, local_only=here)
    if local:
        from automation.local.run import LocalOptions, run_local

        asked = LocalOptions(
            config=config,
            commit=commit,
            environments=tuple(environment or ()),
            until=until,
            aws=aws or "sandbox",
            yes=yes,
            keep=keep,
            notify=notify,
        )
        raise typer.Exit(run_local(asked, Terminal(json_output=json)))
    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    raise typer.Exit(start(where, Terminal(json_output=json), commit=commit, branch=branch, follow=follow))


def follow(
    run: RunName = None,
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    json: options.Json = False,
) -> None:
    """Follow a run to its end."""
    from automation.run_commands import follow as follow_command

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    raise typer.Exit(follow_command(where, Terminal(json_output=json), run))


def logs(
    run: RunName = None,
    stage: Annotated[str | None, typer.Argument(metavar="[STAGE]", help="[default: all, in order]")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the stage ends.")] = False,
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
) -> None:
    """Print what the stages of a run printed: live from their pods, or as stored."""
    from automation.run_commands import print_logs

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    print_logs(where, Terminal(), run, stage, follow=follow)


def history(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Show all that is kept of this run.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many runs at most.")] = 20,
    status: Annotated[Status | None, typer.Option("--status", help="Only those that ended so.")] = None,
    commit: Annotated[str | None, typer.Option("--commit", help="Only those for it; its beginning is enough.")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", help="Only those that deployed to it, in part at least.")
    ] = None,
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    json: options.Json = False,
) -> None:
    """Show what has run, also what the cluster has forgotten: the run table keeps every run."""
    from automation.history import Wanted
    from automation.history import history as history_command

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    wanted = Wanted(limit=limit, status=status, commit=commit, environment=environment)
    history_command(where, Terminal(json_output=json), run, wanted)


def doctor(name: options.Name = DEFAULT_NAME, json: options.Json = False) -> None:
    """Check this machine: what the sandbox needs, what is there, and how to mend what is not."""
    from automation.doctor import run_doctor

    raise typer.Exit(run_doctor(name, Terminal(json_output=json)))
