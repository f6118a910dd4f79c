"""The hook that other repositories take from here, run by pre-commit itself in a repository of the test's own.

pre-commit would make an environment with `pip install` of this repository; the test makes one of links, offline.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.bare_package import ROOT, bare_environment

MANIFEST = ROOT / ".pre-commit-hooks.yaml"
CONFIG = """\
version: "1.0"
build:
  commands: [no-such-program --flag]
environments:
  - name: dev
    region: us-east-1
    account: "222222222222"
    stacks: [{name: App, path: app}]
"""


def run(repository: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    apart = {"HOME": str(repository.parent), "PRE_COMMIT_HOME": str(repository.parent / "store"), "NO_COLOR": "1"}
    who = {f"GIT_{role}_{key}": "test@example.com" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    return subprocess.run(
        words,
        cwd=repository,
        env={**kept, **apart, **who, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def hook() -> dict[str, Any]:
    (only,) = YAML(typ="safe").load(MANIFEST)
    return dict(only)


def install_python(folder: Path) -> dict[str, str]:
    """A `python` on the PATH that is the one of the hook's environment."""
    python, variables = bare_environment(folder)
    program = folder / "bin" / "python"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(python[:2])} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PYTHONPATH": variables["PYTHONPATH"], "PATH": f"{program.parent}:{variables['PATH']}"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A fresh repository that uses the hook."""
    folder = tmp_path / "repository"
    (folder / "app").mkdir(parents=True)
    (folder / "app/cdk.json").write_text("{}")
    (folder / "aphex-config.yaml").write_text(CONFIG)
    # A folder of the application's, which must not be taken for the package's.
    (folder / "stages").mkdir()
    (folder / "stages/__init__.py").write_text("raise SystemExit('the wrong stages')\n")
    with (folder / ".pre-commit-config.yaml").open("w") as file:
        YAML().dump({"repos": [{"repo": "local", "hooks": [{**hook(), "language": "system"}]}]}, file)
    run(folder, "git", "init", "--quiet", "--initial-branch=main").check_returncode()
    run(folder, sys.executable, "-m", "pre_commit", "install").check_returncode()
    return folder


def test_pre_commit_takes_the_manifest(tmp_path: Path) -> None:
    words = (sys.executable, "-m", "pre_commit", "validate-manifest", str(MANIFEST))
    assert (run(tmp_path, *words).returncode, hook()["language"]) == (0, "python")


def test_a_commit_with_a_fault_is_refused_and_one_without_is_made(repository: Path, tmp_path: Path) -> None:
    environment = install_python(tmp_path)
    (repository / "aphex-config.yaml").write_text(CONFIG.replace("path: app", "path: nowhere"))
    run(repository, "git", "add", ".").check_returncode()
    refused = run(repository, "git", "commit", "--message", "first", **environment)
    left_out = (
        "The programs that commands call were not checked: tree_sitter, tree_sitter_bash not installed; the package's "
        "extra `stages` has it.\n"
    )
    said = refused.stdout.partition("exit code: 1\n\n")[2]
    assert said == (
        f"{left_out}"
        "aphex-config.yaml:8  environments[0].stacks[0].path\n"
        '  The path "nowhere" of the stack App does not exist at this commit.\n'
        "  Name the stack's file or its CDK app's folder, relative to the repository's root.\n"
        "1 finding.\n\n"
    )
    assert refused.returncode == 1
    (repository / "aphex-config.yaml").write_text(CONFIG)
    run(repository, "git", "add", ".").check_returncode()
    made = run(repository, "git", "commit", "--message", "first", **environment)
    assert "validate aphex-config.yaml" in made.stdout
    assert made.returncode == 0
    assert run(repository, "git", "log", "--format=%s").stdout == "first\n"


def test_the_hook_is_not_run_for_other_files(repository: Path, tmp_path: Path) -> None:
    (repository / "aphex-config.yaml").write_text("nothing: right\n")
    run(repository, "git", "add", "app", "stages", ".pre-commit-config.yaml").check_returncode()
    made = run(repository, "git", "commit", "--message", "other", **install_python(tmp_path))
    assert "(no files to check)" in made.stdout
    assert made.returncode == 0
