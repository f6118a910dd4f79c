"""The sandbox's git host: bare repositories that pods can clone, and whose pushes send GitHub's webhooks."""

from __future__ import annotations

from sandbox.git_host.delivery import Delivery, deliveries
from sandbox.git_host.pull_requests import PullRequest, list_pull_requests, open_pull_request, update_pull_request
from sandbox.git_host.repository import Repository, create_repository, find_repository, list_repositories

__all__ = [
    "Delivery",
    "PullRequest",
    "Repository",
    "create_repository",
    "deliveries",
    "find_repository",
    "list_pull_requests",
    "list_repositories",
    "open_pull_request",
    "update_pull_request",
]
