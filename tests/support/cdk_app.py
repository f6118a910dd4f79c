"""A CDK app without the CDK library, which writes its cloud assembly itself, and the image's CDK CLI on a PATH."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sandbox.aws import cdk_cli

APP = """\
import json, os
out = os.environ["CDK_OUTDIR"]
open(os.environ["APHEX_WORKSPACE"] + "/syntheses", "a").write("once\\n")
where = "aws://" + os.environ["CDK_DEFAULT_ACCOUNT"] + "/" + os.environ["CDK_DEFAULT_REGION"]
context = json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))

def write(folder, stacks, prefix=""):
    artifacts = {}
    for name, template in stacks.items():
        settings = template.pop("Assembly", {})
        if "Stage" in settings:
            os.makedirs(f"{folder}/assembly-{name}", exist_ok=True)
            write(f"{folder}/assembly-{name}", settings["Stage"], f"{name}/")
            artifacts[f"assembly-{name}"] = {"type": "cdk:cloud-assembly", "properties":
                                             {"directoryName": f"assembly-{name}", "displayName": name}}
            continue
        template["Description"] = " ".join([os.environ["APHEX_COMMIT"], str(context.get("note")),
                                            repr(context.get("typed"))])
        id = (prefix + name).replace("/", "-")
        json.dump(template, open(f"{folder}/{id}.json", "w"))
        artifacts[id] = {"type": "aws:cloudformation:stack", "environment": where, "displayName": prefix + name,
                         "properties": {"templateFile": f"{id}.json", **settings.get("Properties", {})},
                         "dependencies": settings.get("Needs", [])}
    json.dump({"version": VERSION, "artifacts": artifacts}, open(f"{folder}/manifest.json", "w"))

VERSION = context.get("version", "36.0.0")
write(out, json.load(open("stacks.json")))
"""


def app_files(stacks: dict[str, Any], folder: str = "infra") -> dict[str, str | None]:
    """The files of an app that makes stacks.

    Args:
        stacks: their templates. A template's `Assembly` is for its manifest: `Needs` names stacks that it depends on,
            `Properties` are the artifact's, and `Stage` makes it a CDK Stage with stacks of its own.
        folder: where the app is in the repository.
    """
    return {
        f"{folder}/app.py": APP,
        f"{folder}/cdk.json": json.dumps({"app": "python3 app.py"}),
        f"{folder}/stacks.json": json.dumps(stacks),
    }


def path_with_cdk(folder: Path) -> str:
    """A PATH on which the CDK CLI is linked as it is in the deployer image."""
    cli = cdk_cli.ensure()
    (folder / "cdk").symlink_to(cli.folder / "node_modules" / "aws-cdk" / "bin" / "cdk")
    (folder / "node").symlink_to(cli.node)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
