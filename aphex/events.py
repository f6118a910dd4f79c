"""Which fields of a GitHub event a run is made from, said once for the Sensors and for everything else.

The paths are those of GitHub's webhook payloads as Argo Events' github EventSource hands them on, under `body`:
https://docs.github.com/en/webhooks/webhook-events-and-payloads#push and `#pull_request`.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN_PARAMETERS = ("commit", "branch", "repository", "author", "message", "trigger", "pull_request")


@dataclass(frozen=True)
class EventField:
    """Where a run's parameter comes from in an event.

    Attributes:
        parameter: the run's parameter.
        key: path in the event's data, in gjson notation; empty where a template makes the value.
        template: a Go template with sprig's functions over `.Input`, where a path alone is not enough.
        default: the value when the event lacks the field.
    """

    parameter: str
    key: str = ""
    template: str = ""
    default: str | None = None


_FIRST_LINE = '{{ .Input.body.%s | default "" | splitList "\\n" | first | trunc 200 }}'

PUSH_FIELDS = (
    EventField("commit", key="body.after"),
    EventField("branch", template='{{ .Input.body.ref | trimPrefix "refs/heads/" }}'),
    EventField("repository", key="body.repository.clone_url"),
    EventField("author", key="body.head_commit.author.name", default="unknown"),
    EventField("message", template=_FIRST_LINE % "head_commit.message"),
)

PULL_REQUEST_FIELDS = (
    EventField("commit", key="body.pull_request.head.sha"),
    EventField("branch", key="body.pull_request.head.ref"),
    EventField("repository", key="body.repository.clone_url"),
    EventField("author", key="body.pull_request.user.login", default="unknown"),
    EventField("message", template=_FIRST_LINE % "pull_request.title"),
    EventField("pull_request", key="body.number"),
)
