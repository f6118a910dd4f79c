"""Any CDK CLI: synthesizes, and deploys an assembly in the least convenient order that its manifest allows.

The real CLI takes a second to start, too long for hundreds of examples. This one imports little, and has all the
freedom that the real one has (of stacks that do not depend on each other, the last comes first) and prints what the
real one prints; that the real one does the same with the same manifests is shown by
tests/integration/test_stages_deployment.py.
"""

from __future__ import annotations

import json
import os
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEAD = """\
POST / HTTP/1.0\r
Host: {host}\r
Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cloudformation/aws4_request, SignedHeaders=, \
Signature=\r
Content-Type: application/x-www-form-urlencoded\r
Content-Length: {length}\r
\r
"""


def main(words: list[str]) -> int:
    """Do as `cdk synth` or `cdk deploy`."""
    if words[0] == "synth":
        folder = words[words.index("--output") + 1]
        os.makedirs(folder)  # noqa: PTH103  # to import pathlib takes longer
        app = read("cdk.json")["app"]
        os.execve("/bin/sh", ["sh", "-c", f"exec {app}"], {**os.environ, "CDK_OUTDIR": folder})
    return deploy(words[words.index("--app") + 1], words[words.index("--ci") + 1 :])


def read(path: str) -> Any:
    """A JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def deploy(folder: str, wanted: list[str]) -> int:
    """Deploy the stacks of a manifest, each when those that it depends on are done."""
    artifacts = read(f"{folder}/manifest.json")["artifacts"]
    waiting = {name: each for name, each in artifacts.items() if each.get("displayName", name) in wanted}
    while waiting:
        ready = [name for name, each in waiting.items() if not set(each.get("dependencies", [])) & set(waiting)]
        artifact = waiting.pop(ready[-1])
        print(f"{artifact['displayName']}: deploying... [1/{len(wanted)}]", flush=True)
        template = read(f"{folder}/{artifact['properties']['templateFile']}")
        if not create(ready[-1], json.dumps(template)):
            print(f"❌  {ready[-1]} failed to deploy", flush=True)
            return 1
        print(f"\n✅  {artifact['displayName']}", flush=True)
    return 0


def create(name: str, template: str) -> bool:
    """Create a stack, in place of one whose creation was undone; whether that succeeded."""
    answer = call("CreateStack", StackName=name, TemplateBody=template)
    status = call("DescribeStacks", StackName=name)
    if "AlreadyExistsException" in answer and "<StackStatus>ROLLBACK_COMPLETE<" in status:
        call("DeleteStack", StackName=name)
        call("CreateStack", StackName=name, TemplateBody=template)
        status = call("DescribeStacks", StackName=name)
    return "<StackStatus>CREATE_COMPLETE<" in status


def call(action: str, **parameters: str) -> str:
    """Ask CloudFormation, without an SDK or even an HTTP client, whose import would take most of the time."""
    pairs = {"Action": action, "Version": "2010-05-15", **parameters}
    body = "&".join(f"{key}={quoted(value)}" for key, value in pairs.items())
    address = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(_HEAD.format(host=address, length=len(body)).encode() + body.encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode()


def quoted(text: str) -> str:
    """A value as a form has it."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
