"""The AWS stand-in and the git host without a node: for a cluster elsewhere, with neither root nor Linux."""

from __future__ import annotations

from sandbox.services.lifecycle import NATS_PASSWORD, NATS_USERNAME, exists, load, resume, start, status, stop

__all__ = ["NATS_PASSWORD", "NATS_USERNAME", "exists", "load", "resume", "start", "status", "stop"]
