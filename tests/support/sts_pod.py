"""A pod's identity whose AWS is a recording STS: the variables as Kubernetes sets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stages.assume import IDENTITY_VARIABLES
from tests.support.sts import Sts, sts_server

OWN_ROLE = "arn:aws:iam::123456789012:role/aphex-shop-deploy"
CALLER = "arn:aws:sts::123456789012:assumed-role/aphex-shop-deploy/session"


@contextmanager
def sts_pod(folder: Path) -> Iterator[Sts]:
    """Be such a pod as long as the block.

    Args:
        folder: where the web identity token goes.
    """
    token = folder / "token"
    token.write_text("a token")
    with sts_server() as server, pytest.MonkeyPatch.context() as patch:
        for name in IDENTITY_VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_ROLE_ARN", OWN_ROLE)
        patch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
        yield server
