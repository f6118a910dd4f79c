"""Official releases, downloaded for real from a server on this machine: checked, unpacked, and skipped when away."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.toolchain.debian import PackagesUnavailable, host_packages, missing_packages, program
from sandbox.toolchain.releases import (
    ChecksumMismatch,
    Release,
    download,
    expected_digest,
    find_installed,
    is_static,
    releases,
)

SCRIPT = b'#!/bin/sh\necho "$(basename "$0") $*"\n'


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def published(site: tuple[Path, str], program: str, file: str, content: bytes) -> Release:
    folder, url = site
    (folder / file).write_bytes(content)
    (folder / f"{file}.sums").write_text(f"{hashlib.sha256(content).hexdigest()}  {file}\n")
    return Release(program=program, url=f"{url}/{file}", checksums=f"{url}/{file}.sums")


def archive_with(path: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo(path)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_a_tool_of_several_programs_becomes_one_command(site: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "out/bin").mkdir(parents=True)
    known = {
        "kube": (
            published(site, "kube-apiserver", "kube-apiserver", SCRIPT),
            published(site, "etcd", "etcd-v1-linux-amd64.tar.gz", archive_with("etcd-v1-linux-amd64/etcd", SCRIPT)),
            published(site, "coredns", "coredns.tgz", archive_with("coredns", SCRIPT)),
        )
    }
    assert download("kube", tmp_path / "out", lambda _: None, known)
    kube = tmp_path / "out/bin/kube"
    for component, runs in {"apiserver": "kube-apiserver", "etcd": "etcd", "coredns": "coredns"}.items():
        answer = subprocess.run([kube, component, "--flag", "a b"], capture_output=True, text=True, check=True)
        assert answer.stdout == f"{runs} --flag a b\n"


def test_a_compressed_program_is_unpacked_and_can_be_run(site: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    known = {"argo": (published(site, "argo", "argo-linux-amd64.gz", gzip.compress(SCRIPT)),)}
    said: list[str] = []
    assert download("argo", tmp_path, said.append, known)
    answer = subprocess.run([tmp_path / "bin/argo", "version"], capture_output=True, text=True, check=True)
    assert answer.stdout == "argo version\n"
    assert said[0].startswith("argo: downloading, ")
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["argo"]


def test_a_download_that_was_changed_is_refused(site: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    release = published(site, "argo", "argo.gz", gzip.compress(SCRIPT))
    (site[0] / "argo.gz").write_bytes(gzip.compress(SCRIPT + b"# and more\n"))
    with pytest.raises(ChecksumMismatch, match=r"its project says [0-9a-f]{64}"):
        download("argo", tmp_path, lambda _: None, {"argo": (release,)})
    assert list((tmp_path / "bin").iterdir()) == []


def test_a_release_out_of_reach_is_skipped_quickly_and_said(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    away = Release(program="argo", url="http://127.0.0.1:1/argo.gz", checksums="http://127.0.0.1:1/sums")
    said: list[str] = []
    started = time.monotonic()
    assert not download("argo", tmp_path, said.append, {"argo": (away,)})
    assert time.monotonic() - started < 30
    assert "building it instead" in said[0]


def test_a_release_without_one_of_its_programs_leaves_nothing(site: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    there = published(site, "etcd", "etcd", SCRIPT)
    gone = Release(program="coredns", url=f"{site[1]}/gone", checksums=f"{site[1]}/gone.sums")
    assert not download("kube", tmp_path, lambda _: None, {"kube": (there, gone)})
    assert [path.name for path in tmp_path.iterdir() if path.name != "site"] == ["bin"]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("ab12\n", "ab12"),
        ("ffff  other\nAB12  file.gz\n", "ab12"),
        ("ab12 *file.gz\n", "ab12"),
        ("ab12  dist/file.gz\n", "ab12"),
        ("ffff  other\n", None),
        ("", None),
    ],
)
def test_digests_are_read_in_each_way_projects_write_them(listed: str, expected: str | None) -> None:
    assert expected_digest(listed, "file.gz") == expected


def test_only_linux_has_releases_and_each_architecture_its_own() -> None:
    assert releases("darwin", "arm64") == {}
    assert releases("linux", "riscv64") == {}
    for machine, word in {"x86_64": "amd64", "aarch64": "arm64"}.items():
        urls = [release.url for each in releases("linux", machine).values() for release in each]
        assert len(urls) == 9
        assert all(word in url for url in urls)


def test_an_installed_program_counts_only_in_the_right_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_installed("pulumi") is None
    (tmp_path / "pulumi").write_text("#!/bin/sh\necho v3.0.0\n")
    (tmp_path / "pulumi").chmod(0o755)
    assert find_installed("pulumi") is None


def test_a_program_that_needs_a_loader_is_not_static(tmp_path: Path) -> None:
    (tmp_path / "dynamic").write_bytes(b"\x7fELF" + b"\0" * 60 + b"/lib64/ld-linux-x86-64.so.2\0")
    (tmp_path / "static").write_bytes(b"\x7fELF" + b"\0" * 60)
    (tmp_path / "script").write_bytes(SCRIPT)
    assert [is_static(tmp_path / name) for name in ("dynamic", "static", "script")] == [False, True, False]


def test_host_programs_are_found_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH", raising=False)
    assert program("sh") is not None
    assert program("a-program-that-nobody-has") is None
    assert program("/a/program/that/nobody/has") is None


def test_missing_packages_are_named_where_nothing_can_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sandbox.toolchain.debian.HOST_PACKAGES", {"a-package": "a-program-that-nobody-has"})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_packages() == ["a-package"]
    with pytest.raises(PackagesUnavailable, match="a-package") as caught:
        host_packages()
    assert "--cluster context:NAME" in caught.value.hint
