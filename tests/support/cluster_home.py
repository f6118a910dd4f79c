"""Where a cluster's stack lives in tests: on moto, with the stand-in providers and a Pulumi of its own."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from automation.access import AwsAccess
from automation.cluster import cluster_home
from automation.home import StackHome
from automation.target import state_backend, state_bucket
from tests.support.control_plane import tool
from tests.support.moto_endpoint import KEYS, REGION, MotoEndpoint

ACCOUNT = "123456789012"


@contextmanager
def stand_in_home(endpoint: MotoEndpoint, pulumi_home: Path) -> Iterator[StackHome]:
    """The home of the cluster `main`, for as long as the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_HOME", str(pulumi_home))
        patch.setenv("PATH", f"{tool('pulumi').parent}:{os.environ['PATH']}")
        patch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
        access = AwsAccess(region=REGION, endpoint=endpoint.url, static_keys=KEYS)
        yield replace(
            cluster_home("main", ACCOUNT, REGION, access),
            backend=state_backend(state_bucket(ACCOUNT, REGION), REGION, endpoint.url),
            stand_ins=True,
        )
        gc.collect()
