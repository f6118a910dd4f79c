"""The example application is what its README says, and its configuration is valid."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from aphex import process
from aphex.loader import load_config

SHOP = Path(__file__).parent.parent.parent / "examples" / "shop"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The example as a clone has it: without anything that a build left in it."""
    left_behind = shutil.ignore_patterns("dist", "cdk.out", "__pycache__")
    return Path(shutil.copytree(SHOP, tmp_path / "shop", ignore=left_behind))


def test_it_has_two_environments_in_accounts_and_regions_of_their_own() -> None:
    config = load_config(SHOP / "aphex-config.yaml")
    places = [(each.name, each.account, each.region) for each in config.environments]
    assert places == [("dev", "222222222222", "us-east-1"), ("prod", "333333333333", "eu-west-1")]
    for environment in config.environments:
        assert environment.role == f"arn:aws:iam::{environment.account}:role/aphex-deployer"
        assert environment.tests is not None
        assert environment.tests.role == f"arn:aws:iam::{environment.account}:role/aphex-tester"


def test_every_stack_is_there_where_the_configuration_says() -> None:
    assert "app" in json.loads((SHOP / "cdk.json").read_text())
    for environment in load_config(SHOP / "aphex-config.yaml").environments:
        for stack in environment.stacks:
            assert f"class {stack.name}(" in (SHOP / stack.path).read_text()


def test_its_build_commands_make_the_catalogue(checkout: Path) -> None:
    for command in load_config(checkout / "aphex-config.yaml").build.commands:
        words = [sys.executable if word == "python3" else word for word in shlex.split(command.run)]
        process.run(words, cwd=checkout)
    catalog = json.loads((checkout / "dist" / "catalog.json").read_text())
    assert catalog["A-100"] == {"cents": 350, "name": "Notebook"}


def test_the_build_stops_at_a_product_that_cannot_be_sold(checkout: Path) -> None:
    with (checkout / "catalog" / "products.csv").open("a") as products:
        products.write("Z-1,Nothing,free\n")
    with pytest.raises(process.ProcessError, match="Z-1: 'free' is not a price"):
        process.run([sys.executable, "-m", "shop.catalog", "catalog/products.csv", "dist/catalog.json"], cwd=checkout)


def test_the_acceptance_tests_read_outputs_that_the_stacks_have() -> None:
    declared = "".join(path.read_text() for path in (SHOP / "stacks").glob("*.py"))
    read = re.findall(r'OUTPUTS\["\w+"\]\["(\w+)"\]', (SHOP / "acceptance" / "check_deployment.py").read_text())
    assert read
    assert [name for name in read if f'CfnOutput(self, "{name}"' not in declared] == []
