"""An artifact of 20,000 files there and back, against `aws s3 sync` of the same files with the same server."""

from __future__ import annotations

import filecmp
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.artifact_transfer import BUCKET
from benchmarks.measure import ROOT, Ratio

_FILES, _SIZE = 20_000, 50_000  # 1 GB
_MEMORY_LIMIT = 512  # MB
_TIMEOUT = 900.0  # seconds; `aws s3 sync` takes a few minutes
_TOOLS = ROOT / "build" / "awscli"
_LOCK = ROOT / "benchmarks" / "awscli.lock"


def run() -> list[Ratio]:
    """Measure both once: they take long enough for noise to matter little."""
    aws = _aws_cli()
    with tempfile.TemporaryDirectory(prefix="aphex-bench-") as name, _server() as url:
        folder = Path(name)
        _make(folder / "files")
        for target in ("ours", "theirs"):
            (folder / target).mkdir()
        environment = _environment(url)
        transfer = [sys.executable, "-m", "benchmarks.artifact_transfer"]
        up, peak_up = _timed([*transfer, "up", url, str(folder / "files")], environment)
        down, peak_down = _timed([*transfer, "down", url, str(folder / "ours")], environment)
        sync = [str(aws), "s3", "sync", "--only-show-errors"]
        sync_up, _ = _timed([*sync, str(folder / "files"), f"s3://{BUCKET}/sync"], environment)
        sync_down, _ = _timed([*sync, f"s3://{BUCKET}/sync", str(folder / "theirs")], environment)
        _same(folder / "files", folder / "ours")
        _same(folder / "files", folder / "theirs")
    ours, theirs, peak = up + down, sync_up + sync_down, max(int(peak_up), int(peak_down))
    return [
        Ratio(
            name="1 GB in 20,000 files packed, stored and fetched, against `aws s3 sync` there and back",
            value=ours / theirs,
            target=1 / 3,
            better="lower",
            detail=f"{up:.1f} + {down:.1f} s against {sync_up:.1f} + {sync_down:.1f} s",
        ),
        Ratio(
            name=f"peak memory of that, against {_MEMORY_LIMIT} MB",
            value=peak / _MEMORY_LIMIT,
            target=1.0,
            better="lower",
            detail=f"{peak_up.strip()} MB up, {peak_down.strip()} MB down",
        ),
    ]


def _aws_cli() -> Path:
    """Install the AWS CLI apart, because it wants a botocore of its own; once, as its lock says."""
    program, marker = _TOOLS / "bin" / "aws", _TOOLS / "lock"
    lock = _LOCK.read_text(encoding="utf-8")
    if not marker.exists() or marker.read_text(encoding="utf-8") != lock:
        uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
        _TOOLS.parent.mkdir(exist_ok=True)
        subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, str(_TOOLS)], check=True)
        sync = [*uv, "pip", "sync", "--require-hashes", str(_LOCK)]
        subprocess.run(sync, check=True, env={**os.environ, "VIRTUAL_ENV": str(_TOOLS)})
        marker.write_text(lock, encoding="utf-8")
    return program


def _environment(url: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.s3_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _make(folder: Path) -> None:
    """Files as a build has them: two of three are text, the third cannot be compressed."""
    chance = random.Random(1)
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz_", k=chance.randint(3, 12))) for _ in range(4000)]
    text = b" ".join(chance.choices(words, k=400_000))
    for number in range(_FILES):
        place = folder / f"node_modules/package-{number % 400}/lib/{number // 400 % 5}"
        if number < 2000:
            place.mkdir(parents=True, exist_ok=True)
        start = chance.randrange(len(text) - _SIZE)
        content = text[start : start + _SIZE] if number % 3 else chance.randbytes(_SIZE)
        (place / f"file-{number}.js").write_bytes(content)


def _timed(command: list[str], environment: Mapping[str, str]) -> tuple[float, str]:
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=dict(environment), check=True, timeout=_TIMEOUT, stdout=subprocess.PIPE, text=True
    )
    return time.monotonic() - started, done.stdout


def _same(one: Path, other: Path) -> None:
    names = [str(path.relative_to(one)) for path in one.rglob("*") if path.is_file()]
    same, differing, failing = filecmp.cmpfiles(one, other, names, shallow=False)
    assert len(same) == _FILES, (differing[:3], failing[:3])
