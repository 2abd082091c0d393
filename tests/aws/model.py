"""Everything that a profile deploys, in one flat table: nested stacks followed, conditions decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.aws.documents import STACK, Document, Project, nested_path
from tests.aws.profiles import ACCOUNT, Profile
from tests.aws.resolve import Scope
from tests.aws.serverless import expand, with_globals
from tests.aws.values import NO_VALUE, Reference, Text, Value, plain, references

PSEUDO: Final[dict[str, Value]] = {
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": NO_VALUE,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
NAMED_BY: Final = {
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
}
"""The types that `Ref` gives the name of, and the property that sets it."""


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """A resource as a profile deploys it."""

    path: str
    """The names of the stacks that it is in, and its own: `Data/Database`."""
    type: str
    properties: dict[str, Value]
    definition: dict[str, Any]
    """As it is written, with DeletionPolicy, Metadata and so on."""
    file: str

    @property
    def name(self) -> str:
        """Its name in its template."""
        return self.path.rpartition("/")[2]

    @property
    def where(self) -> str:
        """Where to look, for a finding."""
        return f"{self.file}: {self.name}"

    def get(self, path: str, default: Value = None) -> Value:
        """Return a property within properties, by a dotted path."""
        found: Value = self.properties
        for key in path.split("."):
            if not isinstance(found, dict) or key not in found:
                return default
            found = found[key]
        return found


@dataclass(slots=True)
class Model:
    """A profile's deployment."""

    project: Project
    profile: Profile
    resources: dict[str, Resource] = field(default_factory=dict)
    stacks: dict[str, Scope] = field(default_factory=dict)
    """By path; the root's is empty."""
    outputs: dict[str, Value] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """What could not be resolved: (where, what)."""

    def of(self, *types: str) -> Iterator[Resource]:
        """The resources of these types."""
        return (resource for resource in self.resources.values() if resource.type in types)

    def target(self, value: Value) -> Resource | None:
        """Return the one resource that a value names."""
        paths = {reference.resource for reference in references(value)}
        return self.resources.get(paths.pop()) if len(paths) == 1 else None

    def users(self, resource: Resource, *types: str) -> Iterator[Resource]:
        """The resources (of these types) that refer to one."""
        for other in self.resources.values():
            if types and other.type not in types:
                continue
            if any(found.resource == resource.path for found in references(other.properties)):
                yield other

    def text(self, value: Value) -> str:
        """Return a value as text, with the names of the resources whose reference is the name that they are given."""
        if isinstance(value, Text):
            return "".join(map(self.text, value.parts))
        if isinstance(value, Reference) and not value.attribute and (target := self.resources.get(value.resource)):
            given = target.get(NAMED_BY.get(target.type, ""))
            return given if isinstance(given, str) else str(value)
        return str(value)

    def named(self, name: str) -> Resource | None:
        """Return the resource with this name in its template, wherever it is."""
        return next((found for found in self.resources.values() if found.name == name), None)


def resolve(project: Project, profile: Profile) -> Model:
    """Return what a profile deploys."""
    return _Resolver(project, profile).resolve()


class _Resolver:
    def __init__(self, project: Project, profile: Profile) -> None:
        self._model = Model(project, profile)
        self._seen: set[tuple[str, str]] = set()
        self._entered: list[str] = []

    def resolve(self) -> Model:
        profile, project = self._model.profile, self._model.project
        given = profile.overrides(project.configuration)
        root = self._scope("", profile.template, given, profile.name)
        self._fill(root)
        for name, definition in root.active("Outputs"):
            self._model.outputs[name] = root.resolve(f"Outputs.{name}", definition["Value"])
        return self._model

    def _report(self, where: str, what: str) -> None:
        if (where, what) not in self._seen:
            self._seen.add((where, what))
            self._model.problems.append((where, what))

    def _scope(self, path: str, file: str, given: Mapping[str, Value], place: str) -> Scope:
        document: Document = self._model.project.documents.get(file, {})
        if not document:
            self._report(place, f"the template {file} does not exist")
        parameters = self._parameters(document, given, place, file)
        name = f"scoreboard-{self._model.profile.section}{path and '-' + path.replace('/', '-')}"
        region = self._model.profile.region
        pseudo = {
            **PSEUDO,
            "AWS::Region": region,
            "AWS::StackName": name,
            "AWS::StackId": f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{name}/id",
        }
        scope = Scope(path, file, document, parameters, pseudo, self._report, self._nest)
        self._model.stacks[path] = scope
        return scope

    def _parameters(self, document: Document, given: Mapping[str, Value], place: str, file: str) -> dict[str, Value]:
        declared = document.get("Parameters") or {}
        for name in given.keys() - declared.keys() if document else ():
            self._report(place, f"the parameter {name} is given, but {file} has none of that name")
        values: dict[str, Value] = {}
        for name, definition in declared.items():
            if name in given:
                values[name] = given[name]
            elif "Default" in definition:
                values[name] = plain(definition["Default"])
            else:
                self._report(place, f"the parameter {name} of {file} is not given, and has no default")
                values[name] = ""
        return values

    def _nest(self, outer: Scope, name: str) -> Scope | None:
        path = outer.name(name)
        if path in self._model.stacks:
            return self._model.stacks[path]
        if path in self._entered:
            self._report(outer.file, f"nested stacks need each other in a circle: {' → '.join([*self._entered, path])}")
            return None
        self._entered.append(path)
        properties = outer.section("Resources")[name]["Properties"]
        given = outer.resolve(name, properties.get("Parameters", {}))
        for parameter, value in given.items():
            if isinstance(value, (list, dict)):
                self._report(f"{outer.file}: {name}", f"the parameter {parameter} is no text: join the list")
        file = nested_path(outer.file, properties["TemplateURL"])
        scope = self._scope(path, file, given, f"{outer.file}: {name}")
        self._entered.pop()
        return scope

    def _fill(self, scope: Scope) -> None:
        shared = scope.section("Globals")
        for name, definition in scope.active():
            properties = scope.resolve(name, with_globals(definition, shared))
            for needed in _listed(definition.get("DependsOn")):
                if needed not in scope.section("Resources"):
                    self._report(f"{scope.file}: {name}", f"DependsOn names {needed}, which does not exist")
            if definition["Type"] == STACK and (nested := self._nest(scope, name)):
                self._fill(nested)
            prefix = f"{scope.path}/" if scope.path else ""
            for made, kind, values in expand(prefix, name, definition["Type"], properties):
                path = prefix + made
                self._model.resources[path] = Resource(path, kind, values, definition, scope.file)


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
