"""The Sensors: which events start which run, and what the run takes from the event.

Where a run's parameters come from is said once, in `aphex.events`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hera.events import models as e

from aphex.events import PULL_REQUEST_FIELDS, PUSH_FIELDS, RUN_PARAMETERS, EventField
from aphex.names import PipelineNames
from aphex.run import Trigger
from aphex_platform.identities import SENSOR, pull_request_prefix, run_prefix
from aphex_platform.manifests.common import WORKFLOWS_API, Manifest, labels, manifest, plain
from aphex_platform.manifests.events import EVENT_BUS, SENSOR_COMPONENT, WEBHOOK_EVENT, pod_template
from aphex_platform.settings import PlatformSettings

_EVENT_HEADER = "headers.X-Github-Event.0"
# Go's form of X-GitHub-Delivery, which is the same for every attempt to deliver an event. A sender without it is known
# by what it sends.
_DELIVERY = '(index .Input.headers "X-Github-Delivery" | default (list "") | first) | default (toJson .Input.body)'
_NAME_DIGITS = 12
_UNPRINTABLE = r"[^\\pL\\pM\\pN\\pP\\pS ]|\\x{FFFD}"
_FREE_TEXT = frozenset({"branch", "author", "message"})


def push_sensor(settings: PlatformSettings) -> Manifest:
    """The Sensor that starts a run for every push to the pipeline's branch, but not for its deletion."""
    filters = [
        _equals(_EVENT_HEADER, "push"),
        _equals("body.ref", f"refs/heads/{settings.branch}"),
        _equals("body.repository.full_name", settings.repository_full_name),
        e.DataFilter(path="body.deleted", type="bool", value=["false"]),
    ]
    workflow = _workflow(Trigger.PUSH, PipelineNames(settings.pipeline).template, settings)
    return _sensor("push", filters, PUSH_FIELDS, (run_prefix(settings.pipeline), workflow), settings)


def pull_request_sensor(settings: PlatformSettings) -> Manifest:
    """The Sensor that starts a validation when a pull request is opened, reopened or gets commits."""
    filters = [
        _equals(_EVENT_HEADER, "pull_request"),
        _equals("body.action", "opened", "synchronize", "reopened"),
        _equals("body.repository.full_name", settings.repository_full_name),
    ]
    workflow = _workflow(Trigger.PULL_REQUEST, PipelineNames(settings.pipeline).pull_request_template, settings)
    return _sensor(
        "pull-request", filters, PULL_REQUEST_FIELDS, (pull_request_prefix(settings.pipeline), workflow), settings
    )


def _equals(path: str, *values: str) -> e.DataFilter:
    # Argo Events takes the values of a string filter as regular expressions that match anywhere.
    return e.DataFilter(path=path, type="string", value=[f"^{re.escape(value)}$" for value in values])


def _sensor(
    name: str,
    filters: list[e.DataFilter],
    fields: Sequence[EventField],
    start_of: tuple[str, Manifest],
    settings: PlatformSettings,
) -> Manifest:
    prefix, workflow = start_of
    dependency = e.EventDependency(
        name=name,
        event_source_name=PipelineNames(settings.pipeline).event_source,
        event_name=WEBHOOK_EVENT,
        filters=e.EventDependencyFilter(data=filters),
    )
    start = e.StandardK8STrigger(
        # The event names its run, so an event that comes again finds it and changes nothing; Argo Events would take
        # the refusal to create it twice for a failure, and try again and again.
        operation="patch",
        parameters=[_run_name(name, prefix), *(trigger_parameter(name, field) for field in fields)],
    )
    spec = {
        "eventBusName": EVENT_BUS,
        "template": pod_template(SENSOR, SENSOR_COMPONENT, settings),
        "dependencies": [plain(dependency)],
        "triggers": [
            {
                # The event is acknowledged only when its run exists, so that a restart loses none.
                "atLeastOnce": True,
                # In all about a quarter of an hour; later events wait on the bus meanwhile.
                "retryStrategy": {"steps": 10, "duration": "1s", "factor": 2},
                "rateLimit": {"unit": "Minute", "requestsPerUnit": settings.run.starts_per_minute},
                "template": {
                    "name": name,
                    "k8s": {**plain(start), "source": {"resource": workflow}},
                },
            }
        ],
    }
    return manifest("Sensor", PipelineNames(settings.pipeline).sensor(name), spec, settings)


def _workflow(trigger: Trigger, template: str, settings: PlatformSettings) -> Manifest:
    values = {"trigger": trigger.value}
    return {
        "apiVersion": WORKFLOWS_API,
        "kind": "Workflow",
        "metadata": {
            # The trigger puts the run's own name here.
            "name": template,
            "namespace": settings.namespace,
            "labels": labels(settings),
        },
        "spec": {
            "workflowTemplateRef": {"name": template},
            "arguments": {"parameters": [{"name": name, "value": values.get(name, "")} for name in RUN_PARAMETERS]},
        },
    }


def _run_name(dependency: str, prefix: str) -> e.TriggerParameter:
    """How the Sensor names a run: by the delivery that it is for."""
    name = prefix + "{{ " + f"{_DELIVERY} | sha256sum | trunc {_NAME_DIGITS}" + " }}"
    return e.TriggerParameter(
        src=e.TriggerParameterSource(dependency_name=dependency, data_template=name), dest="metadata.name"
    )


def trigger_parameter(dependency: str, field: EventField) -> e.TriggerParameter:
    """How the Sensor sets one of the run's parameters from the event."""
    source = e.TriggerParameterSource(dependency_name=dependency)
    if field.parameter in _FREE_TEXT:
        source.data_template = _harmless(field)
        source.value = field.default or ""
    else:
        source.data_key = field.key
        source.value = field.default
    index = RUN_PARAMETERS.index(field.parameter)
    return e.TriggerParameter(src=source, dest=f"spec.arguments.parameters.{index}.value")


def _harmless(field: EventField) -> str:
    """A template for text that anyone may write.

    Argo puts a parameter's value into the template's JSON by Go's quoting, which writes unprintable characters
    as JSON does not, and reads braces in it as variables again on its next pass. So characters that Go does not
    print are left out, and pairs of opening braces are parted.
    """
    expression = field.template.removeprefix("{{").removesuffix("}}").strip() or f".Input.{field.key}"
    printable = f'regexReplaceAll "{_UNPRINTABLE}" ({expression} | toString) ""'
    parted = ' | replace "{{" "{ {"'
    return "{{ " + printable + parted + parted + " }}"
