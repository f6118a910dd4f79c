"""How much memory a program took: said by itself, at its end."""

from __future__ import annotations

from pathlib import Path


def peak_kilobytes() -> int:
    """The most memory that this program ever had in use.

    Not `ru_maxrss`: that begins with what the process had that started this one (getrusage(2), execve(2)), and a test
    session has a lot.
    """
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(fields["VmHWM"].split()[0])
