"""AWS out of reach in the middle of a deployment: told from a deployment's own failure, and waited for.

The CDK CLI tries its own calls again for some seconds to a minute, depending on the service, and some not at all (the
question whose credentials it has). A deployment can be begun again at any time, so a call that an outage ended is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from stages.console import elapsed

if TYPE_CHECKING:
    from boto3.session import Session

# As Node, botocore and the AWS SDK for JavaScript call it; last, what the CDK CLI makes of an STS that does not answer.
_WORDS = re.compile(
    r"\b(ECONNREFUSED|ECONNRESET|ECONNABORTED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|EPIPE|ETIMEDOUT)\b"
    r"|socket hang up|Could not connect to the endpoint URL|Connect timeout on endpoint URL"
    r"|Connection was closed before we received a valid response"
    r"|Need to perform AWS calls for account \d+, but no credentials have been configured"
)
_SERVICES = ("sts", "cloudformation")
_SPOKEN_EVERY = 30.0
_POLL = 2.0
_TIMEOUT = 10  # seconds
CALLS = 3  # of the CLI for one deployment, at most
PATIENCE = 600.0  # seconds


def speaks_of_outage(complaint: str) -> bool:
    """Whether the CLI's complaint is that it could not connect, or may come from that."""
    return _WORDS.search(complaint) is not None


def unreachable(session: Session, region: str) -> str:
    """Why AWS cannot be reached at this moment, asked once; empty when it answers, whatever it answers."""
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import ConnectionError as NotConnected
    from botocore.exceptions import HTTPClientError, SSLError
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies

    for service in _SERVICES:
        url: str = session.client(service, region_name=region).meta.endpoint_url  # type: ignore[call-overload]
        http = URLLib3Session(proxies=get_environ_proxies(url), timeout=_TIMEOUT)
        try:
            http.send(AWSRequest("GET", url).prepare())
        except SSLError:
            continue  # somebody answered
        except (NotConnected, HTTPClientError) as error:
            return str(error)
        finally:
            http.close()
    return ""


def wait_until_reachable(
    look: Callable[[], str], say: Callable[[str], None], deadline: float, poll: float = _POLL
) -> bool:
    """Wait until AWS answers; false when it does not until the deadline.

    Args:
        look: asks why it cannot be reached; empty when it can.
        say: is told how it goes on.
        deadline: on the monotonic clock.
        poll: seconds between two questions.
    """
    begun, spoken = time.monotonic(), float("-inf")
    while why := look():
        now = time.monotonic()
        if now >= deadline:
            return False
        if now - spoken >= _SPOKEN_EVERY:
            so_far = f" ({elapsed(now - begun)} so far)" if now - begun > 1 else ""
            say(f"AWS cannot be reached: {why} Waiting until it answers{so_far}.")
            spoken = now
        time.sleep(max(0.0, min(poll, deadline - now)))
    return True
