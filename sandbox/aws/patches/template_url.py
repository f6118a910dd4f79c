"""Templates are found in S3 whatever the name or address of the endpoint in their URL.

moto takes the first label of the host for the bucket unless the host is Amazon's own or the URL contains
`localhost`; the CDK CLI writes the endpoint that it uploaded to, which here is an address and a port.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from moto.cloudformation import exceptions, models, responses, utils
from moto.s3.models import s3_backends


def bucket_and_key(template_url: str, buckets: set[str]) -> tuple[str, str]:
    """Where a template is, from a path-style or virtual-hosted URL.

    Args:
        template_url: as it came to CloudFormation.
        buckets: the buckets that there are, which decide between the two styles.
    """
    parts = urlsplit(template_url)
    path = unquote(parts.path).lstrip("/")
    first, _, rest = path.partition("/")
    host = parts.hostname or ""
    labels = [host[: -len(suffix)] for suffix in _amazon_suffixes(host)]
    bucket = labels[0] if labels else host.split(".")[0]
    if first not in buckets and bucket in buckets:
        return bucket, path
    return first, rest


def _amazon_suffixes(host: str) -> list[str]:
    marker = host.find(".s3")
    return [host[marker:]] if marker > 0 and "amazonaws.com" in host else []


def _stack_from_s3_url(template_url: str, account_id: str, partition: str) -> str:
    backend = s3_backends[account_id][partition]
    bucket, key = bucket_and_key(template_url, set(backend.buckets))
    found = backend.get_object(bucket, key)
    if found is None:
        raise exceptions.ValidationError(message=f"S3 error: The specified key does not exist: {template_url}")
    text: str = found.value.decode("utf-8")
    return text


def apply() -> None:
    """Use this look-up wherever moto has imported its own."""
    for module in (utils, models, responses):
        setattr(module, "get_stack_from_s3_url", _stack_from_s3_url)  # noqa: B010 - mypy refuses the plain form
