"""Properties of the validation, on real files, real programs and the real parser of shell."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aphex.loader import ConfigError, parse_config
from stages.context_checks import context_findings
from stages.findings import Finding
from stages.tool_checks import tool_findings
from tests.support.strategies import documents

EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
keys = st.from_regex(r"[a-z][a-z0-9:/@-]{0,12}[a-z]", fullmatch=True)
PATH = {"PATH": "/usr/bin:/bin"}


# Property 19: any configuration is checked against the schema before a stage runs
@EXAMPLES
@given(document=documents(max_environments=3), data=st.data())
def test_a_configuration_with_a_part_missing_is_refused_with_its_field(document: Any, data: st.DataObject) -> None:
    parse_config(json.dumps(document))
    index = data.draw(st.integers(0, len(document["environments"]) - 1))
    field = data.draw(st.sampled_from(["name", "region", "account", "stacks"]))
    del document["environments"][index][field]
    with pytest.raises(ConfigError) as caught:
        parse_config(json.dumps(document))
    assert [problem.field for problem in caught.value.problems] == [f"environments[{index}].{field}"]


def configuration(*commands: str, required: list[str] | None = None, context: Any = None, **more: Any) -> Any:
    environment = {"name": "dev", "region": "eu-west-1", "account": "222222222222", "context": context or {}, **more}
    document = {
        "version": "1.0",
        "build": {"commands": list(commands) or ["true"]},
        "cdk": {"required_context": required or []},
        "environments": [{**environment, "stacks": [{"name": "App", "path": "infra/app.py"}]}],
    }
    return parse_config(json.dumps(document))


PLACES = ("environment", "cdk.json", "cdk.context.json", "~/.cdk.json")


# Property 21: a missing required context value is found before synthesis
@EXAMPLES
@given(placed=st.dictionaries(keys, st.sampled_from([*PLACES, None]), min_size=1, max_size=5))
def test_a_missing_context_value_is_found_and_no_other(placed: dict[str, str | None]) -> None:
    def given_in(place: str) -> dict[str, str]:
        return {key: "value" for key, each in placed.items() if each == place}

    with tempfile.TemporaryDirectory() as folder:
        source, home = Path(folder) / "source", Path(folder) / "home"
        (source / "infra").mkdir(parents=True)
        home.mkdir()
        (source / "infra/app.py").touch()
        (source / "infra/cdk.json").write_text(json.dumps({"app": "x", "context": given_in("cdk.json")}))
        (source / "infra/cdk.context.json").write_text(json.dumps(given_in("cdk.context.json")))
        (home / ".cdk.json").write_text(json.dumps({"context": given_in("~/.cdk.json")}))
        config = configuration(required=list(placed), context=given_in("environment"))
        assert context_findings(config, source, home) == [
            Finding(
                field="environments[0].context",
                cause=f'The environment dev lacks the context value "{key}", which cdk.required_context names.',
                fix=f'Give "{key}" in environments[0].context, in "context" of infra/cdk.json, in '
                'infra/cdk.context.json, or in "context" of ~/.cdk.json in the deployer\'s image.',
            )
            for key, place in placed.items()
            if place is None
        ]


CERTAIN = (
    "{} --flag",
    "A=1 B='x y' {}",
    "true && {} x",
    "echo a | {} | cat",
    "cd app && {} build",
    "x=$({} --version)",
    "env CI=1 {} run",
    "for f in a b; do {} $f; done",
    "f() {{ {}; }}; f",
    "cat <<EOF | {}\ntext\nEOF",
    "time {} > /dev/null 2>&1",
    "({} a) || exit 1",
    '"{}" a',
)
UNCERTAIN = (
    "{} || true",
    "if {}; then true; fi",
    "test -f file && {}",
    "$WRAPPER {}",
    "echo '; {} x'",
    "# {}",
    "command -v {}",
    "PATH=here {}",
    "pip install {0} && {0}",
    "f() {{ {}; }}",
    "case $x in a) {};; esac",
    "cat <<'EOF'\n$({})\nEOF",
)
harmless = st.lists(
    st.sampled_from(["true", "echo x", "cat f | sort", "test -f f", "cd a && ls", "[[ -n $X ]]"]),
    max_size=3,
)


# Property 22: a missing build tool is found before the build
@EXAMPLES
@given(tool=names.map(lambda name: f"no-such-{name}"), before=harmless, shape=st.sampled_from(CERTAIN))
def test_a_missing_tool_is_found(tool: str, before: list[str], shape: str) -> None:
    config = configuration(*before, shape.format(tool))
    with tempfile.TemporaryDirectory() as folder:
        assert tool_findings(config, Path(folder), PATH) == [
            Finding(
                field=f"build.commands[{len(before)}]",
                cause=f"{tool} is not in the image that runs this command.",
                fix=f"Install {tool} in an earlier command of build.commands, or use an image that has it "
                "(pipeline.images.builder).",
            )
        ]


# Property 22: a missing build tool is found before the build, and nothing that may be there is called missing
@EXAMPLES
@given(tool=names.map(lambda name: f"no-such-{name}"), before=harmless, shape=st.sampled_from(UNCERTAIN))
def test_what_is_uncertain_is_no_finding(tool: str, before: list[str], shape: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = {"PATH": f"{folder}:/usr/bin:/bin"}
        (Path(folder) / "pip").touch(mode=0o755)
        assert tool_findings(configuration(*before, shape.format(tool)), Path("/"), path) == []
