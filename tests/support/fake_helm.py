"""A program `helm` that keeps releases in a file and notes how it was called: no chart is installed anywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_PROGRAM = """#!{python}
import json, sys
from pathlib import Path

state = Path({state!r})
kept = json.loads(state.read_text())
arguments = sys.argv[1:]


def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else None


kept["calls"].append(arguments)
verb = arguments[0]
if option("--kubeconfig"):
    kept["kubeconfig"] = Path(option("--kubeconfig")).read_text()
if verb in ("install", "upgrade"):
    name, chart = arguments[1:3]
    if chart == "broken":
        state.write_text(json.dumps(kept))
        sys.exit("Error: chart not found")
    values = json.loads(Path(option("--values")).read_text())
    revision = kept["releases"].get(name, {{}}).get("revision", 0) + 1
    kept["releases"][name] = {{"chart": chart, "version": option("--version"), "values": values, "revision": revision}}
elif verb == "list":
    name = option("--filter").strip("^$").replace(chr(92), "")
    found = kept["releases"].get(name)
    entry = found and {{
        "name": name,
        "namespace": option("--namespace"),
        "revision": str(found["revision"]),
        "status": "deployed",
        "chart": found["chart"] + "-" + found["version"],
        "app_version": "v3",
    }}
    print(json.dumps([entry] if entry else []))
elif verb == "get":
    print(json.dumps(kept["releases"][arguments[2]]["values"]))
elif verb == "uninstall":
    del kept["releases"][arguments[1]]
state.write_text(json.dumps(kept))
"""


class FakeHelm:
    """The program, to be put on the PATH by its `folder`."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "bin"
        self.folder.mkdir()
        self._state = directory / "helm.json"
        self._state.write_text(json.dumps({"calls": [], "releases": {}}))
        program = self.folder / "helm"
        program.write_text(_PROGRAM.format(python=sys.executable, state=str(self._state)))
        program.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call."""
        return list(json.loads(self._state.read_text())["calls"])

    @property
    def kubeconfig(self) -> str:
        """The last kubeconfig that it was given."""
        return str(json.loads(self._state.read_text())["kubeconfig"])
