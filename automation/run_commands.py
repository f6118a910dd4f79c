"""What the commands on runs do between their options and their output."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError, UsageError
from automation.argo import RunNotFound, get_run, latest_run, list_runs, pod_log, start_run
from automation.console import Terminal, duration
from automation.follow import follow_run, headline, run_table
from automation.options import TargetOptions
from automation.records import LogNotFound, bucket_name, read_record, stored_log
from automation.resolve import find
from automation.runs import RunView

if TYPE_CHECKING:
    from aphex.run import RunRecord
    from automation.target import Target

_LATEST = 10
# What the CDK exports from one stack for another is in the record, but tells a person nothing.
_CDK_EXPORT = "ExportsOutput"


def start(options: TargetOptions, terminal: Terminal, *, commit: str | None, branch: str | None, follow: bool) -> int:
    """Start a run by hand; the exit status, which with `follow` is the run's."""
    target = find(options, terminal)
    branch = branch or target.settings.branch
    sha = commit or branch_head(target, branch)
    run = start_run(target, commit=sha, branch=branch, author="manual", message=f"Started by hand for {sha[:10]}")
    terminal.say(f"Started {run.name} for {sha}.")
    if follow:
        return followed(target, run.name, terminal)
    terminal.show(f"Follow it: python -m automation follow {run.name} {target.options}")
    terminal.result(run.document())
    return 0


def check_local_options(local: bool, *, cluster_only: Mapping[str, object], local_only: Mapping[str, object]) -> None:
    """See that a run on this machine and one in a cluster get only their own options.

    Raises:
        UsageError: an option means nothing for this kind of run.
    """
    useless = [name for name, value in (cluster_only if local else local_only).items() if value]
    if useless:
        raise UsageError(
            f"{', '.join(useless)} {'mean' if len(useless) > 1 else 'means'} nothing "
            f"{'with' if local else 'without'} --local.",
            hint="`python -m automation run --help` lists the options.",
        )


def branch_head(target: Target, branch: str) -> str:
    """The newest commit of a branch.

    Raises:
        UsageError: the repository is not on the sandbox's git host, so that the commit has to be named.
    """
    if target.sandbox is None:
        raise UsageError("Which commit? Only the sandbox's git host can be asked.", hint="Name it with --commit SHA.")
    from sandbox import git_host

    found = git_host.find_repository(target.sandbox, target.settings.repository_full_name)
    return found.tip(branch)


def follow(options: TargetOptions, terminal: Terminal, name: str | None) -> int:
    """Follow a run, the latest when none is named; the exit status is the run's."""
    target = find(options, terminal)
    return followed(target, name or latest_run(target).name, terminal)


def followed(target: Target, name: str, terminal: Terminal) -> int:
    """Follow a run to its end and tell what came of it: 0 when it delivered, 1 when it failed."""
    terminal.say(f"Following {name}: {argo_link(target, name)}")
    run = follow_run(target, name, terminal)
    summarize(target, run, terminal)
    return 0 if run.ok else 1


def summarize(target: Target, run: RunView, terminal: Terminal) -> None:
    """Tell what came of a run: its stages, the stacks' outputs, and where its logs are."""
    terminal.show(headline(run))
    terminal.show(run_table(run))
    record = read_record(target, run.name)
    for line in reason(record):
        terminal.show(line)
    outputs = record.outputs if record else {}
    show_outputs(outputs, terminal)
    terminal.show(
        f"Logs:  s3://{bucket_name(target)}/runs/{run.name}/logs/  or: "
        f"python -m automation logs {run.name} {target.options}"
    )
    terminal.show(f"Argo:  {argo_link(target, run.name)}")
    error = record.error if record else None
    terminal.result({**run.document(), "error": error, "outputs": outputs, "argo_url": argo_link(target, run.name)})


def reason(record: RunRecord | None, *, output: bool = True) -> list[str]:
    """Why a run did not succeed, for a person: the stage, its message and hint, and the last lines of what it ran."""
    error = record.error if record else None
    if record is None or not error:
        return []
    where = f" at {error['stage']}" if error.get("stage") else ""
    first, *rest = str(error.get("message", "")).splitlines() or [""]
    lines = [f"{record.status.value.capitalize()}{where}: {first}", *(f"  {line}" for line in rest)]
    lines += [f"  {line}" for line in str(error.get("hint", "")).splitlines()]
    if output and (tail := str(error.get("output", "")).splitlines()):
        lines += ["  Last lines:", *(f"    {line}" for line in tail)]
    return lines


def show_outputs(outputs: Mapping[str, Mapping[str, Mapping[str, str]]], terminal: Terminal) -> None:
    """Show stack outputs to a person, one a line, without what the CDK exports from one stack for another."""
    from rich.table import Table

    table = Table(title="Stack outputs", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in ("environment", "stack", "output", "value"):
        table.add_column(heading, overflow="fold")
    for environment, stacks in outputs.items():
        for stack, values in stacks.items():
            for key, value in values.items():
                if not key.startswith(_CDK_EXPORT):
                    table.add_row(environment, stack, key, value)
    if table.row_count:
        terminal.show(table)


def argo_link(target: Target, run: str) -> str:
    """The page of a run in Argo's UI."""
    return f"{target.settings.argo_url.rstrip('/')}/workflows/{target.settings.namespace}/{run}"


def print_logs(
    options: TargetOptions, terminal: Terminal, name: str | None, stage: str | None, *, follow: bool
) -> None:
    """Print a stage's log, or those of all stages that have begun.

    Raises:
        AphexError: the run or the stage is not known, or there is no log of it.
    """
    target = find(options, terminal)
    name = name or latest_run(target).name
    try:
        run: RunView | None = get_run(target, name)
    except RunNotFound:
        run = None
    for each in log_stages(target, name, run, stage):
        if stage is None:
            terminal.say(f"=== {each}", style="bold")
        _print_stage(target, name, run, each, terminal, follow=follow)


def log_stages(target: Target, name: str, run: RunView | None, stage: str | None) -> list[str]:
    """The stages whose logs to print: the one asked for, else all that have begun.

    Raises:
        AphexError: neither cluster nor run table know the run, or it has no such stage.
    """
    if run is not None:
        begun = [each.name for each in run.stages if each.started is not None and each.status != "skipped"]
        known = [each.name for each in run.stages]
    else:
        record = read_record(target, name)
        if record is None:
            raise RunNotFound(
                f"Neither the cluster nor the run table has a run {name}.",
                hint="`python -m automation status` lists the latest ones.",
            )
        begun = known = list(record.stages)
    if stage is None:
        return begun
    if stage not in known:
        raise UsageError(f"The run {name} has no stage {stage}.", hint=f"It has: {', '.join(known)}.")
    return [stage]


def _print_stage(
    target: Target, name: str, run: RunView | None, stage: str, terminal: Terminal, *, follow: bool
) -> None:
    view = run.stage(stage) if run else None
    if view is None or view.ended is not None:
        try:
            terminal.out.file.write(stored_log(target, name, stage))
            terminal.out.file.flush()
            return
        except LogNotFound:
            if view is None or not view.pod:
                raise
    if not view.pod:
        raise AphexError(f"The stage {stage} of {name} has not begun.", hint="--follow works once it has.")
    for line in pod_log(target, view.pod, follow=follow and view.ended is None):
        terminal.out.file.write(line if line.endswith("\n") else line + "\n")
        terminal.out.file.flush()


def show_status(options: TargetOptions, terminal: Terminal) -> None:
    """Show the sandbox, the pipeline and its latest runs."""
    from automation.target import choose
    from sandbox import lifecycle

    choice = choose(options.target, options.cluster, options.aws, options.name)
    document: dict[str, Any] = {}
    if "sandbox" in (choice.cluster, choice.aws):
        state = lifecycle.status(choice.name)
        document["sandbox"] = state.model_dump(mode="json")
        ready = sum(1 for each in state.components if each.state == "ready")
        terminal.show(
            f'Sandbox "{choice.name}": '
            + (f"running, {ready} of {len(state.components)} components ready" if state.running else "not running")
        )
        if not state.running:
            terminal.result(document)
            return
    try:
        target = find(options, terminal)
    except UsageError:
        if options.pipeline or not document:
            raise
        terminal.show("Name a pipeline with --pipeline or --config to see its runs.")
        terminal.result(document)
        return
    document["pipeline"] = target.settings.pipeline
    runs = list_runs(target)[:_LATEST]
    document["runs"] = [run.document() for run in runs]
    terminal.show(f"Pipeline {target.settings.pipeline} in namespace {target.settings.namespace}")
    terminal.show(runs_table(runs) if runs else "No runs yet.")
    if runs and (error := show_latest(target, runs[0], terminal)):
        document["runs"][0]["error"] = error
    terminal.result(document)


def show_latest(target: Target, run: RunView, terminal: Terminal) -> dict[str, Any] | None:
    """Tell why the latest run did not succeed, when it is over and did not; its error."""
    if not run.finished or run.status == "succeeded":
        return None
    record = read_record(target, run.name)
    for line in reason(record, output=False):
        terminal.show(line)
    return record.error if record else None


def runs_table(runs: list[RunView]) -> Any:
    """Runs for a person, one a line."""
    from rich.table import Table

    now = datetime.now(UTC)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("run", "status", "commit", "trigger", "started", "took", "message"):
        table.add_column(heading, overflow="fold")
    for run in runs:
        started = f"{run.created:%Y-%m-%d %H:%M:%S}" if run.created else ""
        current = next((each.name for each in run.stages if each.status in ("running", "starting")), "")
        table.add_row(
            run.name,
            f"{run.status} ({current})" if current else run.status,
            run.commit[:10],
            run.trigger,
            started,
            duration(run.seconds(now)),
            run.message,
        )
    return table
