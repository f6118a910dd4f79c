"""Any CDK CLI: synthesizes, and deploys an assembly in the least convenient order that its manifest allows.

The real CLI takes a second to start, too long for hundreds of examples. This one has all the freedom that the real one
has (of stacks that do not depend on each other, the last comes first) and prints what the real one prints; that the
real one does the same with the same manifests is shown by tests/integration/test_stages_deployment.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

_SCOPE = "test/20260101/us-east-1/cloudformation/aws4_request"
_HEADERS = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential={_SCOPE}, SignedHeaders=, Signature=",
    "Content-Type": "application/x-www-form-urlencoded",
}


def main(words: list[str]) -> int:
    """Do as `cdk synth` or `cdk deploy`."""
    if words[0] == "synth":
        folder = Path(words[words.index("--output") + 1])
        folder.mkdir(parents=True)
        app = json.loads(Path("cdk.json").read_text())["app"]
        return subprocess.run(app, shell=True, check=False, env={**os.environ, "CDK_OUTDIR": str(folder)}).returncode
    return deploy(Path(words[words.index("--app") + 1]), words[words.index("--ci") + 1 :])


def deploy(folder: Path, wanted: list[str]) -> int:
    """Deploy the stacks of a manifest, each when those that it depends on are done."""
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    waiting = {name: each for name, each in artifacts.items() if each.get("displayName", name) in wanted}
    while waiting:
        ready = [name for name, each in waiting.items() if not set(each.get("dependencies", [])) & set(waiting)]
        artifact = waiting.pop(ready[-1])
        print(f"{artifact['displayName']}: deploying... [1/{len(wanted)}]", flush=True)
        template = (folder / artifact["properties"]["templateFile"]).read_text()
        if not create(ready[-1], template):
            print(f"❌  {ready[-1]} failed to deploy", flush=True)
            return 1
        print(f"\n✅  {artifact['displayName']}", flush=True)
    return 0


def create(name: str, template: str) -> bool:
    """Create a stack; whether that succeeded."""
    call("CreateStack", StackName=name, TemplateBody=template)
    return "<StackStatus>CREATE_COMPLETE<" in call("DescribeStacks", StackName=name)


def call(action: str, **parameters: Any) -> str:
    """Ask CloudFormation, without an SDK, whose import would take most of the time."""
    body = urlencode({"Action": action, "Version": "2010-05-15", **parameters})
    connection = HTTPConnection(urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc)
    connection.request("POST", "/", body, _HEADERS)
    return connection.getresponse().read().decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
