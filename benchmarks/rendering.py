"""How the cost and the size of rendering grow with the number of environments, from one to a thousand."""

from __future__ import annotations

import json
from functools import partial

from aphex_platform.manifests import render
from aphex_platform.manifests.common import Manifest
from aphex_platform.settings import AwsSettings, EventBusSettings, ImageSettings, PlatformSettings

from aphex.config import PipelineConfig
from benchmarks.measure import Ratio, cpu_of, side_by_side

_FEW, _MANY, _ROUNDS = 100, 1000, 5
_SIZES = (1, 10, 100, 1000)
_CPU_LIMIT = 1.0  # seconds, for the largest
_SIZE_LIMIT = 1_000_000  # bytes; etcd refuses objects of more than 1.5 MB


def configuration(environments: int) -> PipelineConfig:
    """A pipeline with that many environments, each of two stacks with tests."""
    stacks = [{"name": name, "path": f"lib/{name}.ts"} for name in ("Data", "Service")]
    return PipelineConfig.model_validate(
        {
            "version": "1.0",
            "build": {"commands": ["npm ci", "npm run build"]},
            "environments": [
                {
                    "name": f"environment-{number}",
                    "region": "eu-west-1",
                    "account": f"{number:012d}",
                    "stacks": stacks,
                    "tests": {"commands": ["npm test"]},
                }
                for number in range(environments)
            ],
        }
    )


def settings() -> PlatformSettings:
    """Settings of a pipeline in a real account."""
    return PlatformSettings(
        pipeline="bench",
        namespace="aphex-bench",
        repository="https://git.example.com/acme/bench.git",
        repository_full_name="acme/bench",
        aws=AwsSettings(
            kind="account", account="123456789012", region="eu-west-1", oidc_issuer="https://oidc.example.com/id/1"
        ),
        event_bus=EventBusSettings(kind="native"),
        images=ImageSettings(builder="example.com/builder:1", deployer="example.com/deployer:1"),
        state_backend="s3://state",
        argo_url="https://argo.example.com",
        cdk_method="change-set",
    )


def run() -> list[Ratio]:
    """Measure time and size of many environments against few, where a ratio of 1 is linear growth, and their limits."""
    few, many, where = configuration(_FEW), configuration(_MANY), settings()
    render(few, where)
    short, long = side_by_side(
        lambda: cpu_of(lambda: render(few, where)), lambda: cpu_of(lambda: render(many, where)), _ROUNDS
    )
    made = {size: configuration(size) for size in _SIZES}
    times = {size: min(cpu_of(partial(render, config, where)) for _ in range(_ROUNDS)) for size, config in made.items()}
    sizes = {size: _largest_object(render(config, where)) for size, config in made.items()}
    factor = _MANY / _FEW
    return [
        Ratio(
            name=f"rendering time of {_MANY} environments per environment, against {_FEW}",
            value=long / short / factor,
            target=1.2,
            better="lower",
            detail=f"{long * 1000:.0f} ms against {short * 1000:.0f} ms",
        ),
        Ratio(
            name=f"rendering time of {_MANY} environments, against {_CPU_LIMIT:g} s of CPU",
            value=long / _CPU_LIMIT,
            target=1.0,
            better="lower",
            detail=", ".join(f"{count}: {seconds * 1000:.0f} ms" for count, seconds in times.items()),
        ),
        Ratio(
            name=f"largest object of {_MANY} environments per environment, against {_FEW}",
            value=sizes[_MANY] / sizes[_FEW] / factor,
            target=1.0,
            better="lower",
            detail=", ".join(f"{count}: {size / 1000:.0f} kB" for count, size in sizes.items()),
        ),
        Ratio(
            name=f"largest object of {_MANY} environments, against {_SIZE_LIMIT / 1e6:g} MB",
            value=sizes[_MANY] / _SIZE_LIMIT,
            target=1.0,
            better="lower",
            detail=f"{sizes[_MANY] / 1000:.0f} kB",
        ),
    ]


def _largest_object(manifests: list[Manifest]) -> int:
    """Bytes of the largest of the manifests, as the API server gets it."""
    return max(len(json.dumps(each, separators=(",", ":")).encode()) for each in manifests)
