"""`python -m stages NAME`: the command of every stage's pod."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from aphex.errors import AphexError, UsageError

STAGES = {
    "validate": "stages.validate",
    "build": "stages.build",
    "self-update": "stages.self_update",
    "environment": "stages.environment",
    "test": "stages.test",
    "exit": "stages.exit",
}
_KNOWN = ", ".join(STAGES)
# What is called by programs instead of by pods, and needs none of a pod's variables.
TOOLS = ("credentials", "check", "notify-test")
_USAGE = f"usage: python -m stages NAME, where NAME is one of {_KNOWN}"


def main(arguments: list[str]) -> int:
    """Run the stage that the arguments name; returns the exit status of the process."""
    if arguments in (["-h"], ["--help"]):
        print(_USAGE)
        return 0
    if arguments[:1] and arguments[0] in TOOLS:
        return _tool(arguments[0], arguments[1:])
    try:
        name = _stage_name(arguments)
        # Imported only now, so that a wrong name is said at once.
        from stages.context import StageContext
        from stages.runner import run_stage

        context = StageContext.from_environment(os.environ)
        return run_stage(STAGES[name], context)
    except AphexError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code


def _tool(name: str, arguments: list[str]) -> int:
    if name == "credentials" and len(arguments) == 1:
        from stages.assume import print_credentials

        return print_credentials(Path(arguments[0]))
    if name == "notify-test":
        from stages.notify.trial import main as notify_test

        return notify_test(arguments)
    from stages.check import main as check

    return check(arguments)


def _stage_name(arguments: list[str]) -> str:
    if len(arguments) != 1:
        raise UsageError(_USAGE)
    if arguments[0] not in STAGES:
        raise UsageError(f'There is no stage "{arguments[0]}".', hint=f"The stages are {_KNOWN}.")
    return arguments[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
