"""What a channel is told of a run: as plain text, and as Markdown for those that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aphex.run import RunRecord, StageKind, StageRecord, Status
from stages.bounds import cut
from stages.console import elapsed
from stages.masking import Masker
from stages.metrics import seconds_between

MAX_LINES = 20
_LINE = 300
_REASON = 1_500


@dataclass(frozen=True)
class Message:
    """A notification, in parts of which some may be left out.

    Attributes:
        title: in one line.
        parts: paragraphs, each as Markdown, as text, and with its rank: the highest is left out first, 0 never.
    """

    title: str
    parts: tuple[tuple[str, str, int], ...]

    def bodies(self, *, markdown: bool) -> list[str]:
        """The whole body first, then shorter ones for services that take less; status and link are in each."""
        ranks = sorted({part[2] for part in self.parts}, reverse=True)
        return [
            "\n\n".join(part[0] if markdown else part[1] for part in self.parts if part[2] <= rank) for rank in ranks
        ]


def message(run: RunRecord, *, link: str, recovered: bool, masker: Masker | None = None) -> Message:
    """The notification of a run that has ended.

    Args:
        run: its record.
        link: where it is shown; empty when nobody knows.
        recovered: whether the run before did not succeed.
        masker: what replaces the secrets; without it only what has the form of a credential is replaced.
    """
    mask = (masker or Masker()).text
    how = "recovered" if recovered else run.status.value
    where = str((run.error or {}).get("stage", "")) if run.status is not Status.SUCCEEDED else ""
    title = _line(f"{run.pipeline}: run {run.run_id} {how}" + (f" at {where}" if where else ""))
    parts = [_both(lambda code: _summary(run, how, where, code), 0)]
    if link:
        parts.append((f"[{link}]({link})", link, 0))
    if run.error:
        parts += _failure(run.error, mask)
    parts.append(_both(lambda code: _facts(run, code, mask), 1))
    if stages := _stages(run):
        parts.append(_both(lambda code: "\n".join(_stage_line(name, each, code) for name, each in stages), 2))
    return Message(title=title, parts=tuple(parts))


def _both(render: Callable[[Callable[[str], str]], str], rank: int) -> tuple[str, str, int]:
    return render(_code), render(_line), rank


def _summary(run: RunRecord, how: str, where: str, code: Callable[[str], str]) -> str:
    seconds = seconds_between(run.started_at, run.ended_at)
    took = f" after {elapsed(seconds)}" if seconds is not None else ""
    at = f" at {code(where)}" if where else ""
    return f"Run {code(run.run_id)} of {code(run.pipeline)} {how}{at}{took}."


def _failure(error: dict[str, object], mask: Callable[[str], str]) -> list[tuple[str, str, int]]:
    reason = cut(mask(_text(error.get("message"))), _REASON)
    parts = [(_block(reason), reason, 3)] if reason.strip() else []
    if hint := mask(_text(error.get("hint"))).strip():
        parts.append((_code(hint), hint, 4))
    if command := mask(_text(error.get("command"))):
        parts.append(_both(lambda code: f"Command: {code(command)}", 5))
    lines = [cut(line, _LINE) for line in mask(_text(error.get("output"))).splitlines()[-MAX_LINES:]]
    if lines:
        tail = "\n".join(lines)
        parts.append((f"Last lines:\n\n{_block(tail)}", f"Last lines:\n{tail}", 6))
    return parts


def _facts(run: RunRecord, code: Callable[[str], str], mask: Callable[[str], str]) -> str:
    subject = mask(next(iter(run.message.splitlines()), ""))
    facts = {
        "Commit": f"{code(run.commit[:10])} {code(subject)}" if subject else code(run.commit[:10]),
        "Author": code(mask(run.author)) if run.author else "",
        "Branch": code(run.branch) if run.branch else "",
        "Pull request": code(run.pull_request) if run.pull_request else "",
        "Trigger": run.trigger.value.replace("_", " "),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items() if value)


def _stages(run: RunRecord) -> list[tuple[str, StageRecord]]:
    shown = [each for each in run.stages.items() if each[0] != StageKind.EXIT.value]
    return sorted(shown, key=lambda each: (each[1].started_at or each[1].ended_at, each[0]))


def _stage_line(name: str, stage: StageRecord, code: Callable[[str], str]) -> str:
    seconds = seconds_between(stage.started_at, stage.ended_at)
    return f"- {code(name)} {stage.status.value}" + (f", {elapsed(seconds)}" if seconds is not None else "")


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(str(each) for each in value)
    return str(value or "")


def _line(text: str) -> str:
    return cut(" ".join(text.split()), _LINE)


def _code(text: str) -> str:
    # In a code span nothing is markup, no HTML, no link and no mention, whoever wrote the commit's message.
    return f"`{_line(text).replace('`', chr(39))}`"


def _block(text: str) -> str:
    return "```\n" + text.replace("```", "'''") + "\n```"
