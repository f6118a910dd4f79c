"""The command line as a person meets it: help, errors, exit statuses, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from automation import doctor
from automation.doctor import Finding

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shop" / "aphex-config.yaml"
COMMANDS = (
    "up",
    "preview",
    "destroy",
    "unlock",
    "validate",
    "render",
    "demo",
    "status",
    "run",
    "follow",
    "logs",
    "history",
    "install-argo",
)


def automation(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "automation", *words], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_help_lists_every_command_and_the_exit_statuses() -> None:
    shown = automation("--help")
    assert shown.returncode == 0
    for command in (*COMMANDS, "cluster", "doctor", "sandbox", "images", "pull-request", "repository"):
        assert f" {command} " in shown.stdout
    assert "Exit status" in shown.stdout


@pytest.mark.parametrize("module", ["pulumi", "boto3", "lightkube", "hera", "moto", "grpc"])
def test_help_imports_nothing_heavy(module: str) -> None:
    program = f"import sys, automation.cli; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60).returncode == 0


def test_a_valid_configuration_is_told_with_its_stages() -> None:
    shown = automation("validate", str(EXAMPLE), "--json")
    document = json.loads(shown.stdout)
    assert (shown.returncode, document["valid"]) == (0, True)
    assert document["stages"][:3] == ["validate", "build", "self-update"]


def test_a_wrong_configuration_ends_with_status_2_and_every_problem(tmp_path: Path) -> None:
    wrong = tmp_path / "aphex-config.yaml"
    wrong.write_text('version: "1.0"\nbuild: {commands: [""]}\nenvironments: []\n')
    shown = automation("validate", str(wrong), "--json")
    assert shown.returncode == 2
    fields = {each["field"] for each in json.loads(shown.stdout)["findings"]}
    assert len(fields) == 2
    assert "Traceback" not in shown.stderr


def test_an_error_has_its_traceback_when_that_was_asked_for() -> None:
    shown = automation("render", "--config", "nothing.yaml", "--debug")
    assert shown.returncode != 0
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize("words", [("up", "--nonsense"), ("up", "--target", "moon", "--config", str(EXAMPLE))])
def test_wrong_usage_ends_with_status_2(words: tuple[str, ...]) -> None:
    shown = automation(*words)
    assert shown.returncode == 2
    assert shown.stdout == ""


def test_a_command_that_needs_to_know_the_pipeline_says_how_to_name_it(tmp_path: Path) -> None:
    program = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from automation.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", program, "follow"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 2
    assert "--pipeline" in shown.stderr


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (doctor.operating_system("Linux", "x86_64"), "ok"),
        (doctor.operating_system("Darwin", "arm64"), "fail"),
        (doctor.user(0), "ok"),
        (doctor.user(1000), "fail"),
        (doctor.python((3, 10)), "fail"),
        (doctor.python((3, 12)), "ok"),
        (doctor.memory("MemTotal: 9 kB\nMemAvailable:   16000000 kB\n"), "ok"),
        (doctor.memory("MemTotal: 9 kB\nMemAvailable:    2000000 kB\n"), "warn"),
        (doctor.programs(("sh",)), "ok"),
        (doctor.programs(("sh", "no-such-program")), "fail"),
    ],
)
def test_a_check_says_how_to_mend_what_is_wrong(finding: Finding, verdict: str) -> None:
    assert finding.verdict == verdict
    assert bool(finding.fix) == (verdict != "ok")


def test_control_groups_of_either_version_are_recognised(tmp_path: Path) -> None:
    assert doctor.cgroups(tmp_path).verdict == "fail"
    for name in ("cpu", "memory", "pids", "devices"):
        (tmp_path / name).mkdir()
    assert doctor.cgroups(tmp_path).found == "version 1"
    (tmp_path / "cgroup.controllers").touch()
    assert doctor.cgroups(tmp_path).found == "version 2"
