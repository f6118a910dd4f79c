"""Leads resources of the stand-in AWS provider through their lives, as the engine does, without the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.providers.aws.provider import AwsProvider
from sandbox.providers.aws.schema import DEFAULTS
from sandbox.providers.base import UNKNOWN, Change, Difference, Naming, Properties, Resource
from tests.support.moto_endpoint import MotoEndpoint


@dataclass
class Life:
    """One resource, from its creation on."""

    resource: Resource
    id: str
    inputs: Properties
    outputs: Properties


@dataclass
class Lives:
    """The resources that were made, in their order."""

    provider: AwsProvider
    made: list[Life] = field(default_factory=list)

    def create(self, token: str, inputs: Properties, name: str = "it") -> Life:
        """Check and preview the inputs, make the resource, and see that a look at it finds nothing to change."""
        resource = Resource(urn=f"urn:pulumi:test::test::{token}::{name}", type=token, name=name)
        checked = self._check(resource, None, inputs)
        expected = self.provider.create(resource, checked, preview=True, timeout=0).outputs
        created = self.provider.create(resource, checked, preview=False, timeout=0)
        life = Life(resource, created.id, checked, created.outputs)
        _assert_kept(token, expected, created.outputs)
        self.made.append(life)
        self.look(life)
        return life

    def look(self, life: Life) -> None:
        """See that a refresh finds the resource as it was made, and that the same inputs change nothing."""
        found = self.provider.read(life.resource, life.id, life.inputs, life.outputs)
        assert found is not None
        difference = self._difference(life, found.inputs, life.inputs)
        assert not difference.changes, f"a refresh of {life.resource.type} found {difference.changes}"
        assert found.outputs == life.outputs
        again = self._check(life.resource, life.inputs, {k: v for k, v in life.inputs.items() if k != DEFAULTS})
        assert not self._difference(life, life.inputs, again).changes

    def imported(self, life: Life) -> Properties:
        """The inputs that an import of the resource would find."""
        found = self.provider.read(life.resource, life.id, {}, {})
        assert found is not None
        return found.inputs

    def update(self, life: Life, inputs: Properties) -> set[str]:
        """Change the resource in place and return the paths of what changed."""
        checked = self._check(life.resource, life.inputs, inputs)
        difference = self._difference(life, life.inputs, checked)
        assert difference.changes
        assert not [change for change in difference.changes if change.replaces]
        change = Change(new=checked, old_inputs=life.inputs, old_outputs=life.outputs)
        life.outputs = self.provider.update(life.resource, life.id, change)
        life.inputs = checked
        self.look(life)
        return {change.path for change in difference.changes}

    def replaces(self, life: Life, inputs: Properties) -> bool:
        """Whether these inputs would make a new resource."""
        checked = self._check(life.resource, life.inputs, inputs)
        return any(change.replaces for change in self._difference(life, life.inputs, checked).changes)

    def end(self) -> None:
        """Remove everything in the reverse order, twice, as an interrupted destruction that is done again."""
        for life in reversed(self.made):
            for _ in range(2):
                self.provider.delete(life.resource, life.id, life.inputs, life.outputs, 0)
            assert self.provider.read(life.resource, life.id, life.inputs, life.outputs) is None
        self.made.clear()

    def _check(self, resource: Resource, old: Properties | None, inputs: Properties) -> Properties:
        checked = self.provider.check(resource, old, inputs, Naming(seed=b"0123456789"))
        assert not checked.problems, checked.problems
        return dict(checked.inputs)

    def _difference(self, life: Life, old: Properties, new: Properties) -> Difference:
        return self.provider.diff(life.resource, life.id, old, life.outputs, new)


def _assert_kept(token: str, expected: Properties, made: Properties) -> None:
    """See that a preview promised what was then made, and nothing that was not."""
    assert expected.keys() <= made.keys(), f"{token} promised {expected.keys() - made.keys()}"
    for key, value in expected.items():
        if isinstance(value, dict) and isinstance(made[key], dict):
            _assert_kept(f"{token}.{key}", value, made[key])
        elif value is not UNKNOWN:
            assert made[key] == value


def lives_on(moto: MotoEndpoint) -> Lives:
    """A provider configured for that AWS, and nothing made yet."""
    provider = AwsProvider(moto.provider)
    provider.configure({})
    return Lives(provider)
