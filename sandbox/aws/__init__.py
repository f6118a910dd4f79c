"""The stand-in for AWS: moto's server with a few mends, and accounts that are ready for CDK."""

from __future__ import annotations

HEALTH_PATH = "/_aphex/health"
"""Answered by the stand-in as soon as it can serve, whatever its backends are doing."""
