"""What the commands on a whole pipeline do between their options and their output."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation.console import Terminal
from automation.options import TargetOptions

if TYPE_CHECKING:
    from aphex.config import PipelineConfig
    from automation.data_loss import Consent
    from automation.home import StackHome
    from automation.preview import PreviewResult
    from automation.target import Target
    from automation.up import UpResult

CHANGES_PENDING = 3
# What later updates compare themselves with; a person is told of it when it matters.
_INTERNAL_OUTPUTS = ("environments", "token_issuer")


def run_up(
    options: TargetOptions, terminal: Terminal, *, plan: Path | None, yes: bool, allow_data_loss: bool = False
) -> tuple[Target, UpResult]:
    """Deploy the pipeline and tell what came of it."""
    from automation.changes import sentence
    from automation.data_loss import Consent
    from automation.resolve import resolve

    config = _config(options)
    target = resolve(options, config, terminal, prepare=True)
    consent = Consent.GIVEN if allow_data_loss else Consent.ASK
    _agree(options, config, target, terminal, yes=yes or plan is not None)
    result = _apply(target, config, terminal, plan, consent)
    terminal.show(sentence(result.changes))
    terminal.show(outputs_table(result.outputs))
    for line in next_steps(target, result):
        terminal.show(line)
    terminal.result(result.document())
    return target, result


def _apply(target: Target, config: PipelineConfig, terminal: Terminal, plan: Path | None, consent: Consent) -> UpResult:
    from automation.up import bring_up
    from automation.update_plan import load_plan
    from automation.webhook import register_webhook

    saved = load_plan(plan, config, target.settings) if plan is not None else None
    result = bring_up(target, config, terminal, plan=saved, consent=consent)
    register_webhook(target, terminal)
    return result


def run_self_update(options: TargetOptions, terminal: Terminal) -> UpResult:
    """Bring the pipeline up to date from inside one of its runs, whose stage reads the result or the error as JSON."""
    from automation.changes import sentence
    from automation.resolve import resolve
    from automation.up import bring_up_if_changed

    try:
        config = _config(options)
        result = bring_up_if_changed(resolve(options, config, terminal, prepare=False), config, terminal)
    except Exception as error:
        terminal.result({"error": error_document(error)}, one_line=True)
        raise
    terminal.show(sentence(result.changes))
    terminal.result(result.document(), one_line=True)
    return result


def error_document(error: Exception) -> dict[str, Any]:
    """An error as JSON has it: with the resources that failed, when the engine named them."""
    from automation.stack import DeploymentError

    failed = [asdict(each) for each in error.complaints if each.name] if isinstance(error, DeploymentError) else []
    return {
        "type": type(error).__name__,
        "message": error.message if isinstance(error, AphexError) else f"{type(error).__name__}: {error}",
        "hint": error.hint if isinstance(error, AphexError) else "",
        "resources": failed,
    }


def _agree(options: TargetOptions, config: PipelineConfig, target: Target, terminal: Terminal, *, yes: bool) -> None:
    """Show what would change and ask, where a person is there and AWS is a real account."""
    from automation.destroy import ask
    from automation.preview import changes_table, preview

    if yes or options.settings is not None or target.settings.aws.kind == "sandbox":
        return
    found = preview(target, config, terminal)
    if found.changes:
        terminal.err.print(changes_table(found.changes))
        tell_consequences(found, terminal)
        ask(terminal, f"Deploy this to the account {target.settings.aws.account}?")


def run_preview(options: TargetOptions, terminal: Terminal, *, save: Path | None, expect_none: bool) -> int:
    """Show what an `up` would change; the exit status."""
    from automation.changes import as_json, sentence
    from automation.preview import changes_table, preview
    from automation.resolve import resolve
    from automation.update_plan import SavedPlan, digest

    config = _config(options)
    target = resolve(options, config, terminal, prepare=False)
    found = preview(target, config, terminal)
    if found.changes:
        terminal.show(changes_table(found.changes))
    terminal.show(sentence(found.changes, would=True))
    tell_consequences(found, terminal)
    if save is not None and not found.plan:
        raise AphexError("There is no plan to save: what the changes would lose is protected.")
    if save is not None:
        SavedPlan(
            pipeline=found.pipeline,
            configuration=digest(config),
            settings=digest(target.settings),
            changes=as_json(found.changes),
            plan=found.plan,
            salt=found.salt,
        ).save(save)
        terminal.say(f"Saved. Apply exactly this with: python -m automation up --plan {save}")
    terminal.result(found.document())
    return CHANGES_PENDING if expect_none and found.changes else 0


def tell_consequences(found: PreviewResult, terminal: Terminal) -> None:
    """Say what the changes would lose, and what they would leave behind."""
    from automation.data_loss import FLAG
    from automation.left_behind import tell

    for loss in found.losses:
        terminal.say(f" ! {loss}", style="bold red")
    if found.losses:
        terminal.say(f"`up` asks before it does that, and a self-update refuses it; {FLAG} allows it.")
    tell(found.left, terminal)


def run_destroy(options: TargetOptions, terminal: Terminal, *, yes: bool, delete_data: bool | None) -> None:
    """Remove the pipeline and tell what went and what stayed."""
    from automation.destroy import destroy
    from automation.resolve import find

    target = find(options, terminal)
    if delete_data is None:
        delete_data = target.settings.aws.kind == "sandbox"
    plan = destroy(target, terminal, delete_data=delete_data, confirmed=yes)
    terminal.show(f"The pipeline {target.settings.pipeline} is removed." + (" Its data is kept." * bool(plan.kept)))
    terminal.result({"pipeline": target.settings.pipeline, **plan.document()})


def run_unlock(options: TargetOptions, terminal: Terminal, *, yes: bool) -> None:
    """Remove every lock on the pipeline, after showing whose they are."""
    from automation.resolve import find

    unlock_home(find(options, terminal).home, terminal, yes=yes)


def unlock_home(home: StackHome, terminal: Terminal, *, yes: bool) -> None:
    """Remove every lock on a stack, after showing whose they are."""
    from automation.destroy import ask
    from automation.locks import read_locks

    s3 = home.aws.client("s3")
    locks = read_locks(s3, home.bucket, home.name) if home.bucket else []
    if not locks:
        terminal.show(f"Nobody has locked {home.title}.")
        return
    for lock in locks:
        terminal.say(f"  {lock}")
    if not yes:
        ask(terminal, "Are all of them gone for good?")
    for lock in locks:
        s3.delete_object(Bucket=home.bucket, Key=lock.key)
    terminal.show(f"{home.title[0].upper()}{home.title[1:]} is unlocked.")


def run_render(options: TargetOptions, terminal: Terminal) -> None:
    """Print the pipeline's Argo objects as YAML documents."""
    import sys

    from aphex_platform import manifests
    from ruamel.yaml import YAML

    from automation.resolve import resolve

    config = _config(options)
    target = resolve(options, config, terminal, prepare=False)
    documents = manifests.render(config, target.settings)
    if terminal.json_output:
        terminal.result(documents)
        return
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.dump_all(documents, sys.stdout)


def outputs_table(outputs: dict[str, Any]) -> Any:
    """The stack's outputs for a person, one a line; nested ones by their parent's name."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in sorted(outputs.items()):
        if name in _INTERNAL_OUTPUTS:
            continue
        if isinstance(value, dict):
            for key, inner in sorted(value.items()):
                table.add_row(f"{name}.{key}", str(inner))
        else:
            table.add_row(name, str(value))
    return table


def next_steps(target: Target, result: UpResult) -> list[str]:
    """What a person does after an `up`."""
    settings = target.settings
    if target.sandbox is not None:
        clone = target.sandbox.directory / "git" / f"{settings.repository_full_name}.git"
        return [
            "",
            f"Push to start a run:  git push {clone} HEAD:{settings.branch}",
            f"Follow it:            python -m automation follow {target.options}",
        ]
    return [
        "",
        "Tell GitHub where to send events: in the repository's Settings > Webhooks add",
        f"  Payload URL   {result.outputs.get('webhook_url')}  (as the cluster's ingress shows it to the internet)",
        "  Content type  application/json",
        f"  Secret        the webhook secret of the Kubernetes Secret in {settings.namespace}",
        "  Events        pushes and pull requests",
        f"Then push to {settings.branch}, and follow the run: python -m automation follow {target.options}",
    ]


def _config(options: TargetOptions) -> PipelineConfig:
    from aphex.loader import load_config

    return load_config(options.config)
