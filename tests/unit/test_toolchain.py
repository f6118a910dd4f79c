"""The toolchain's decisions: where things are kept, what makes a new build, how far a build is, who may build."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aphex.errors import AphexError
from sandbox import toolchain
from sandbox.toolchain import bundles
from sandbox.toolchain.bundles import BUNDLES, PULUMI_CLI, SANDBOX, Bundle
from sandbox.toolchain.cache import cache_root, locked, placed, remove, silent
from sandbox.toolchain.progress import BuildMeter, duration


def test_cache_is_where_the_user_says_else_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/xdg/aphex")
    monkeypatch.setenv("APHEX_CACHE", "/mine")
    assert cache_root() == Path("/mine")


def test_cache_is_found_without_a_home_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APHEX_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_root().is_absolute()
    assert cache_root().parts[-2:] == (".cache", "aphex")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with placed(tmp_path / "whole") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "whole").exists()
    assert (tmp_path / "whole/file").read_text() == "x"

    def fail() -> None:
        with placed(tmp_path / "half") as folder:
            (folder / "file").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".whole.partial").mkdir()
    (tmp_path / ".whole.partial/left").touch()
    with placed(tmp_path / "whole") as folder:
        (folder / "file").touch()
    assert [path.name for path in (tmp_path / "whole").iterdir()] == ["file"]


def test_read_only_folders_are_removed(tmp_path: Path) -> None:
    (tmp_path / "mod/deep").mkdir(parents=True)
    (tmp_path / "mod/deep/file").touch()
    (tmp_path / "mod/deep").chmod(0o500)
    remove(tmp_path / "mod")
    remove(tmp_path / "mod")
    assert list(tmp_path.iterdir()) == []


def test_one_builds_and_the_other_waits_and_says_for_whom(tmp_path: Path) -> None:
    said: list[str] = []
    order: list[str] = []
    waiting = threading.Event()

    def report(message: str) -> None:
        said.append(message)
        waiting.set()

    def second() -> None:
        with locked(tmp_path / "lock", report, "toolchain"):
            order.append("second")

    with locked(tmp_path / "lock", silent, "toolchain"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert re.fullmatch(r"toolchain: waiting for process \d+, which is at it", said[0])


def test_who_does_not_want_to_wait_is_told_at_once(tmp_path: Path) -> None:
    first = locked(tmp_path / "lock", silent, "toolchain", wait=False)
    second = locked(tmp_path / "lock", silent, "toolchain", wait=False)
    with first as is_first, second as is_second:
        assert (is_first, is_second) == (True, False)
    with locked(tmp_path / "lock", silent, "toolchain", wait=False) as again:
        assert again


def bundle_at(folder: Path, **sources: str) -> Bundle:
    module = folder / "tiny"
    module.mkdir(parents=True)
    for name, text in sources.items():
        (module / f"{name}.go").write_text(text)
    return Bundle(name="tiny", packages={"tiny": "."}, root=folder)


def test_the_key_follows_sources_packages_and_versions_alone(tmp_path: Path) -> None:
    first = bundle_at(tmp_path / "a", main="package main")
    same = bundle_at(tmp_path / "b", main="package main")
    assert first.digest() == same.digest()
    assert bundle_at(tmp_path / "c", main="package main\n").digest() != first.digest()
    assert bundle_at(tmp_path / "d", other="package main").digest() != first.digest()
    assert replace(first, packages={"tiny": "./x"}).digest() != first.digest()
    assert replace(first, variables={"main.version": "1"}).digest() != first.digest()


@pytest.mark.parametrize(
    ("bundle", "module", "version"),
    [
        (SANDBOX, "k8s.io/kubernetes", bundles.KUBERNETES),
        (SANDBOX, "go.etcd.io/etcd/server/v3", bundles.ETCD),
        (SANDBOX, "github.com/coredns/coredns", bundles.COREDNS),
        (SANDBOX, "github.com/argoproj/argo-workflows/v3", bundles.ARGO_WORKFLOWS),
        (SANDBOX, "github.com/argoproj/argo-events", bundles.ARGO_EVENTS),
        (PULUMI_CLI, "github.com/pulumi/pulumi/pkg/v3", bundles.PULUMI),
    ],
)
def test_versions_are_those_that_the_modules_pin(bundle: Bundle, module: str, version: str) -> None:
    pins = (bundle.sources / "go.mod").read_text()
    assert re.search(rf"^(?:require |\t){re.escape(module)} v{re.escape(version)}$", pins, re.MULTILINE)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_every_module_has_its_checksums(bundle: Bundle) -> None:
    text = (bundle.sources / "go.mod").read_text()
    sums = (bundle.sources / "go.sum").read_text()
    required = re.findall(r"^(?:require |\t)(\S+ v\S+)(?: // indirect)?$", text, re.MULTILINE)
    replaced = re.findall(r"^(?:replace |\t)(\S+) => ", text, re.MULTILINE)
    assert required
    missing = [one for one in required if one.split()[0] not in replaced and f"{one}/go.mod " not in sums]
    assert missing == []


def test_an_unknown_tool_is_named_with_those_there_are() -> None:
    with pytest.raises(AphexError, match=r"kubectl: no such tool\. There are kube, "):
        toolchain.ensure("kubectl")


def test_a_toolchain_has_only_what_was_asked_for() -> None:
    tools = toolchain.Toolchain(paths={"kube": Path("/x/kube")}, manifests=Path("/x/manifests"))
    assert tools.path("kube") == Path("/x/kube")
    with pytest.raises(AphexError, match="pulumi was not asked for"):
        tools.path("pulumi")


@given(
    sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=60),
    resumed=st.integers(0, 30),
    pace=st.floats(0.01, 10),
)
def test_progress_only_grows_and_says_how_long(sizes: list[int], resumed: int, pace: float) -> None:
    weights = {f"p{number}": size for number, size in enumerate(sizes)}
    already = list(weights)[: min(resumed, len(weights) - 1)]
    meter = BuildMeter(weights, already=already, spent=len(already) * pace, links=0)
    before = meter.progress(0).fraction
    for number, name in enumerate(weights, start=1):
        assert meter.compiled(name) == (name not in already)
        assert not meter.compiled(name)
        now = meter.progress(number * pace)
        assert before <= now.fraction <= 1
        before = now.fraction
    assert meter.progress(1).compiled == len(weights)
    assert meter.progress(1).seconds_left == 0


def test_time_left_follows_bytes_not_packages() -> None:
    meter = BuildMeter({"small": 1_000_000, "large": 9_000_000}, links=0)
    assert str(meter.progress(5)) == "0%, 0 of 2 packages"
    meter.compiled("small")
    assert str(meter.progress(10)) == "10%, 1 of 2 packages, 1 min 30 s left"


def test_an_interrupted_build_keeps_its_pace() -> None:
    meter = BuildMeter({"a": 5, "b": 5}, already=["a"], spent=60, links=0)
    assert str(meter.progress(0)) == "50%, 1 of 2 packages, 1 min 00 s left"


def test_packages_of_no_interest_do_not_count() -> None:
    meter = BuildMeter({"a": 1})
    assert not meter.compiled("# a warning of the compiler")
    assert meter.progress(1).compiled == 0


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (200, "3 min 20 s")])
def test_durations_read_well(seconds: float, said: str) -> None:
    assert duration(seconds) == said
