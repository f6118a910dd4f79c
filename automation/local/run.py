"""A local run from its options to its exit status."""

from __future__ import annotations

import json
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.config import CONFIG_FILE
from aphex.errors import AphexError, UsageError
from aphex.names import PipelineNames, limited
from automation.local.execute import Stages, end_children, end_leftovers, stage_variables
from automation.local.identity import Credentials, caller_credentials, identity, stand_in_credentials
from automation.local.plan import PlannedStage, deployments, plan_run
from automation.local.programs import check_programs, ensure_python, make_bin, search_path
from automation.local.records import collect, new_record, read_outputs
from automation.local.report import Report, show_report
from automation.local.sequence import Sequel, run_sequence
from automation.local.snapshot import Snapshot, take_snapshot
from automation.local.stand_in import StandIn, make_stores, prepare_accounts, restart_command, stand_in

if TYPE_CHECKING:
    from aphex.config import PipelineConfig
    from automation.console import Terminal

INTERRUPTED = 130
_MAX_NAME = 40
_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Of the caller's AWS variables those that say how AWS is reached; who calls is said by the identity.
_REACHED_BY = ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_USE_", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_MAX_ATTEMPTS")


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """What the caller asked for.

    Attributes:
        config: the application's configuration; its folder is the application.
        commit: what to run; the working tree when None.
        environments: the only ones to deploy; all when empty.
        until: the last stage; the whole run when None.
        aws: `sandbox`, a stand-in of the run's own, or `account`, AWS itself.
        yes: whether to deploy to AWS itself unasked.
        keep: whether the workspace and what the stand-in holds stay.
        notify: whether notifications are sent.
    """

    config: Path
    commit: str | None = None
    environments: tuple[str, ...] = ()
    until: str | None = None
    aws: str = "sandbox"
    yes: bool = False
    keep: bool = False
    notify: bool = False


@dataclass(frozen=True, kw_only=True)
class LocalRun:
    """A run whose plan is made.

    Attributes:
        options: what was asked for.
        name: its id.
        folder: for all that it makes; removed at its end.
        record: what stays of it.
        snapshot: its commit.
        config: the configuration at that commit.
        plan: its stages.
        names: of the pipeline's own resources.
        account: of the pipeline.
        region: of the pipeline.
    """

    options: LocalOptions
    name: str
    folder: Path
    record: Path
    snapshot: Snapshot
    config: PipelineConfig
    plan: Sequence[PlannedStage]
    names: PipelineNames
    account: str
    region: str

    @property
    def environments(self) -> list[str]:
        """Those that the run is for."""
        chosen = self.options.environments
        return [each.name for each in self.config.environments if not chosen or each.name in chosen]

    @property
    def bucket(self) -> str:
        """The artifact bucket, which is always a stand-in's."""
        return self.names.bucket(self.account, self.region)


def run_local(options: LocalOptions, terminal: Terminal) -> int:
    """Run the stages one after another on this machine; 0 when all went well, 1 when one failed.

    Raises:
        UsageError: an option, or the configuration, is wrong; nothing was begun.
        AphexError: something that the run needs is missing or cannot be made.
    """
    if options.aws not in ("sandbox", "account"):
        raise UsageError(f'"{options.aws}" is not an AWS.', hint="--aws is sandbox or account.")
    if options.config.name != CONFIG_FILE:
        raise UsageError(
            f"The stages read {CONFIG_FILE}, not {options.config.name}.",
            hint=f"Name a file {CONFIG_FILE} with --config.",
        )
    check_programs()
    with _own_folder(options, terminal) as folder, ExitStack() as stack:
        run = _planned(options, folder, terminal)
        _agree(run, terminal)
        stack.callback(_end_leftovers, run.name, terminal)
        try:
            path, running = _prepared(run, stack, terminal)
            who = stack.enter_context(identity(folder, _credentials(run)))
            stages = Stages(
                folder=folder,
                logs=run.record / "logs",
                variables=_variables(run, running, path, who),
                on_line=_printer(terminal),
            )
            sequel = run_sequence(stages, run.plan, run.config, run.names.pipeline, terminal)
            return _finished(run, running, sequel, terminal)
        finally:
            # Interrupting once more must leave nothing behind.
            _heed(signal.SIG_IGN)


@contextmanager
def _own_folder(options: LocalOptions, terminal: Terminal) -> Iterator[Path]:
    from sandbox.toolchain.cache import remove

    before = {number: signal.getsignal(number) for number in _INTERRUPTIONS}
    _heed(_interrupt, *(number for number in before if before[number] is not signal.SIG_IGN))
    folder = Path(tempfile.mkdtemp(prefix="aphex-local-")).resolve()
    try:
        yield folder
    finally:
        _heed(signal.SIG_IGN)
        if options.keep:
            terminal.say(f"Kept: {folder}")
        else:
            remove(folder)
        for number, handler in before.items():
            _heed(handler, number)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _heed(handler: Any, *numbers: signal.Signals) -> None:
    """Handle interruptions by this handler, where that can be said: in the first thread."""
    if threading.current_thread() is threading.main_thread():
        for number in numbers or _INTERRUPTIONS:
            signal.signal(number, handler)


def _planned(options: LocalOptions, folder: Path, terminal: Terminal) -> LocalRun:
    from aphex.loader import load_config
    from automation.target import pipeline_name

    snapshot = take_snapshot(options.config.absolute().parent, folder / "repository.git", options.commit, terminal.warn)
    text = snapshot.read(CONFIG_FILE)
    if text is None:
        raise UsageError(f"There is no {CONFIG_FILE} in {snapshot.title}.")
    file = folder / CONFIG_FILE
    file.write_text(text, encoding="utf-8")
    config = load_config(file, shown_as=str(options.config))
    plan = plan_run(config, environments=options.environments, until=options.until)
    pipeline = pipeline_name(config, options.config)
    account, region = _pipeline_account(options, config)
    name = f"{limited(pipeline, _MAX_NAME)}-local-{secrets.token_hex(3)}"
    terminal.say(f"{name}: {snapshot.title}")
    return LocalRun(
        options=options,
        name=name,
        folder=folder,
        record=new_record(name),
        snapshot=snapshot,
        config=config,
        plan=plan,
        names=PipelineNames(pipeline),
        account=account,
        region=region,
    )


def _pipeline_account(options: LocalOptions, config: PipelineConfig) -> tuple[str, str]:
    """The account and region that the pipeline itself has in this run: with AWS itself the caller's own."""
    from sandbox.state import ACCOUNT, REGION

    if options.aws == "sandbox":
        return ACCOUNT, REGION
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    region = boto3.Session().region_name or config.environments[0].region
    caller_credentials(region)
    try:
        return str(boto3.client("sts", region_name=region).get_caller_identity()["Account"]), region
    except (BotoCoreError, ClientError) as error:
        raise AphexError(
            f"AWS does not take this machine's credentials: {error}",
            hint="Log in again, for example with `aws sso login`.",
        ) from error


def _credentials(run: LocalRun) -> Callable[[], Credentials]:
    return stand_in_credentials if run.options.aws == "sandbox" else caller_credentials(run.region)


def _agree(run: LocalRun, terminal: Terminal) -> None:
    """Show what is about to be deployed to AWS itself, and ask."""
    from automation.destroy import ask

    planned = deployments(run.config, run.plan)
    if run.options.aws != "account" or not planned:
        return
    terminal.say(f"This deploys to AWS, with the credentials of account {run.account}:")
    for line in planned:
        terminal.say(f"  {line}")
    if not run.options.yes:
        ask(terminal, "Deploy?")


def _prepared(run: LocalRun, stack: ExitStack, terminal: Terminal) -> tuple[str, StandIn]:
    """Install what is missing, start the stand-in and make the accounts ready; the stages' PATH, and the stand-in."""
    from sandbox.aws import cdk_cli

    own_images = run.config.pipeline.images
    report = lambda line: terminal.say(f"  {line}", style="dim")  # noqa: E731
    with terminal.step("Preparing the run"), ThreadPoolExecutor(2) as pool, _ended_with_its_children():
        python, cli = pool.submit(ensure_python, report), pool.submit(cdk_cli.ensure, report)
        running = stack.enter_context(stand_in(run.folder, run.account, run.region, keep=run.options.keep))
        make_stores(running, run.bucket, run.names.table)
        folders = [make_bin(run.folder / "bin", cli.result()), python.result()]
        if run.options.aws == "sandbox":
            prepare_accounts(running, run.config, run.environments, report)
    if own_images.builder or own_images.deployer:
        terminal.warn("The configuration has images of its own: their programs are not used, but this machine's.")
    first = not (own_images.builder or own_images.deployer)
    return search_path(os.environ.get("PATH", os.defpath), folders, first=first), running


@contextmanager
def _ended_with_its_children() -> Iterator[None]:
    """What other threads install is not waited for after an interruption; the next run installs it."""
    try:
        yield
    except KeyboardInterrupt:
        end_children()
        raise


def _variables(run: LocalRun, running: StandIn, path: str, who: dict[str, str]) -> dict[str, str]:
    """The variables that all stages have, the same as in their pods."""
    told = run.config.notifications if run.options.notify else []
    variables = {
        **stage_variables(os.environ, path),
        **who,
        "APHEX_PIPELINE": run.names.pipeline,
        "APHEX_RUN": run.name,
        "APHEX_COMMIT": run.snapshot.commit,
        "APHEX_BRANCH": run.snapshot.branch or run.config.pipeline.branch,
        "APHEX_REPOSITORY": run.snapshot.url,
        "APHEX_AUTHOR": run.snapshot.author,
        "APHEX_MESSAGE": run.snapshot.message,
        "APHEX_TRIGGER": "manual",
        "APHEX_PULL_REQUEST": "",
        "APHEX_BUCKET": run.bucket,
        "APHEX_TABLE": run.names.table,
        "APHEX_STORE_ENDPOINT": running.s3_url,
        "APHEX_ACCOUNT": run.account,
        "APHEX_NAMESPACE": run.names.namespace,
        "APHEX_ENVIRONMENTS": " ".join(run.environments),
        "APHEX_CHANNELS": json.dumps([each.model_dump(mode="json", exclude_defaults=True) for each in told]),
        "APHEX_NOTIFY": "on" if run.options.notify else "off",
        "APHEX_STARTED": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "APHEX_NOTIFICATIONS": os.environ.get("APHEX_NOTIFICATIONS", ""),
        "AWS_REGION": run.region,
        "AWS_DEFAULT_REGION": run.region,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }
    if run.options.aws == "sandbox":
        return {**variables, "AWS_ENDPOINT_URL": running.url, "AWS_ENDPOINT_URL_S3": running.s3_url}
    return {**variables, **{name: text for name, text in os.environ.items() if name.startswith(_REACHED_BY)}}


def _printer(terminal: Terminal) -> Callable[[str], None]:
    """Prints what a stage prints as it is, apart from the result."""
    file = terminal.err.file

    def on_line(line: str) -> None:
        file.write(line + "\n")
        file.flush()

    return on_line


def _end_leftovers(run: str, terminal: Terminal) -> None:
    if left := end_leftovers(run):
        terminal.say(f"Ended what the run's commands had left in the background: {len(left)} processes.", style="dim")


def _finished(run: LocalRun, running: StandIn, sequel: Sequel, terminal: Terminal) -> int:
    """Keep the record and tell what came of the run."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        collect(running, run.bucket, run.name, run.record)
    except (BotoCoreError, ClientError, OSError) as error:
        terminal.warn(f"Results of the stages are lost, their logs are not: {error}")
    environments = [each.name for each in run.config.environments]
    report = Report(
        view=sequel.view(run.name, run.snapshot),
        source=run.snapshot.title,
        outputs=read_outputs(run.record, environments),
        record=run.record,
        restart=restart_command(run.folder, running) if run.options.keep else "",
    )
    show_report(report, terminal)
    if sequel.interrupted:
        return INTERRUPTED
    return 0 if report.view.ok else 1
