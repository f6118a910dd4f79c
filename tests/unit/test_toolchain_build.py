"""Building with the real Go command: resumed after a kill, clear when Go is missing or too old, at home anywhere."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox import toolchain
from sandbox.toolchain import gobuild
from sandbox.toolchain.bundles import Bundle
from sandbox.toolchain.gobuild import GoBuild, GoUnavailable, find_go, go_environment

needs_go = pytest.mark.skipif(
    not any(shutil.which("go", path=place) for place in (os.environ.get("PATH", ""), "/usr/local/go/bin")),
    reason="Go is not installed",
)
MAIN = 'package main\n\nimport "example.test/tiny/part"\n\nvar version = "none"\n\nfunc main() { part.Say(version) }\n'
PART = "package part\n\nfunc Say(text string) { print(text) }\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    """A module that needs no other, not even much of the standard library."""
    module = tmp_path / "sources/tiny"
    (module / "part").mkdir(parents=True)
    (module / "command").mkdir()
    (module / "go.mod").write_text("module example.test/tiny\n\ngo 1.21\n")
    (module / "command/main.go").write_text(MAIN)
    (module / "part/part.go").write_text(PART)
    return Bundle(
        name="tiny", packages={"say": "./command"}, variables={"main.version": "v1.2"}, root=tmp_path / "sources"
    )


@needs_go
def test_a_build_has_its_version_and_needs_no_environment(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    said: list[str] = []
    (tmp_path / "bin").mkdir()
    GoBuild(tiny, tmp_path / "work", tmp_path / "caches", said.append).build(["say"], tmp_path / "bin")
    answer = subprocess.run([tmp_path / "bin/say"], capture_output=True, text=True, check=True)
    assert answer.stderr == "v1.2"
    assert said[-1].startswith("built say in ")
    assert {path.name for path in (tmp_path / "caches").iterdir()} >= {"build"}


def packages_in(notes: Path) -> set[str]:
    return {line.split()[0] for line in notes.read_text().splitlines()}


@needs_go
def test_a_killed_build_is_gone_on_with(tiny: Bundle, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from sandbox.toolchain.bundles import Bundle;"
        "from sandbox.toolchain.gobuild import GoBuild;"
        "root = pathlib.Path(sys.argv[1]); (root / 'bin').mkdir();"
        "bundle = Bundle(name='tiny', packages={'say': './command'}, root=root / 'sources');"
        "GoBuild(bundle, root / 'work', root / 'caches', print).build(['say'], root / 'bin')"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    notes = tmp_path / "work/compiled.txt"
    deadline = time.monotonic() + 120
    while not (notes.exists() and notes.read_text()) and time.monotonic() < deadline and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    interrupted = packages_in(notes)
    assert interrupted
    said: list[str] = []
    target = tmp_path / "target"
    target.mkdir()
    GoBuild(tiny, tmp_path / "work", tmp_path / "caches", said.append).build(["say"], target)
    assert said[0].startswith("tiny: going on from an interrupted build (")
    assert (target / "say").exists()
    assert packages_in(notes) > interrupted


@needs_go
def test_what_is_built_is_not_built_again_and_its_caches_go(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("sandbox.toolchain.ensure")
    monkeypatch.setattr(module, "BUNDLES", (tiny,))
    monkeypatch.setattr(module, "TOOLS", ("say",))
    monkeypatch.setattr(module, "bundle_of", lambda _tool: tiny)
    monkeypatch.setenv("APHEX_CACHE", str(tmp_path / "cache"))
    for name in ("APHEX_GOCACHE", "APHEX_GOMODCACHE"):
        monkeypatch.delenv(name, raising=False)
    said: list[str] = []
    first = toolchain.ensure("say", progress=said.append)
    assert any(message.startswith("built say in ") for message in said)
    root = tmp_path / "cache/toolchain"
    assert sorted(path.name for path in root.iterdir()) == ["lock", f"tiny-{tiny.digest()}"]
    said.clear()
    assert toolchain.ensure("say", progress=said.append) == first
    assert said == []
    (tiny.sources / "part/part.go").write_text(PART.replace("text string", "words string").replace("(text)", "(words)"))
    assert toolchain.ensure("say", progress=said.append).path("say") != first.path("say")
    assert first.path("say").exists()


@needs_go
def test_a_go_that_is_too_old_is_named_with_the_one_that_is_needed(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny.sources / "go.mod").write_text("module example.test/tiny\n\ngo 1.999.0\n")
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    with pytest.raises(GoUnavailable) as caught:
        GoBuild(tiny, tmp_path / "work", tmp_path / "caches", print).prepare()
    assert "This is go version go" in str(caught.value)
    assert "Install Go 1.999.0 or newer" in caught.value.hint


def test_a_missing_go_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gobuild, "_PLACES", ())
    with pytest.raises(GoUnavailable) as caught:
        find_go()
    assert caught.value.hint == "Install Go 1.26 or newer and put it on the PATH."


def test_the_users_go_settings_stay_and_the_caches_are_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("APHEX_GOCACHE", "APHEX_GOMODCACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GOFLAGS", "-insecure=x")
    monkeypatch.setenv("GOCACHE", "/the/users/own")
    env = go_environment(tmp_path)
    assert env["GOPROXY"] == "http://127.0.0.1:1"
    assert env["GOFLAGS"].split()[0] == "-insecure=x"
    assert env["GOCACHE"] == str(tmp_path / "build")
    assert env["GOMODCACHE"] == str(tmp_path / "mod")
    assert env["CGO_ENABLED"] == "0"
