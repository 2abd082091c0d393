"""One template with its parameters given: conditions decided, functions applied, resources left as symbols."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.aws.documents import STACK, Document
from tests.aws.serverless import generated_names
from tests.aws.values import (
    NO_VALUE,
    SYMBOLS,
    Call,
    Reference,
    Unresolved,
    Value,
    as_list,
    join,
    plain,
    split,
)

_VARIABLE: Final = re.compile(r"\$\{(!?)([^}]+)\}")


@dataclass(slots=True)
class Scope:
    """A stack: a template, its parameters, and the stacks that it nests."""

    path: str
    file: str
    document: Document
    parameters: Mapping[str, Value]
    pseudo: Mapping[str, Value]
    report: Callable[[str, str], None]
    """Takes (where, what is wrong)."""
    nest: Callable[[Scope, str], Scope | None]
    """Gives the stack that a resource of this one makes."""
    _conditions: dict[str, bool] = field(default_factory=dict)
    _place: str = ""

    def name(self, resource: str) -> str:
        """Return a resource's path in the whole."""
        return f"{self.path}/{resource}" if self.path else resource

    def section(self, title: str) -> dict[str, Any]:
        """Return one of the template's sections."""
        found = self.document.get(title) or {}
        assert isinstance(found, dict)
        return found

    def active(self, kind: str = "Resources") -> Iterator[tuple[str, dict[str, Any]]]:
        """The (name, definition) of what the conditions leave."""
        for name, definition in self.section(kind).items():
            if "Condition" not in definition or self.holds(definition["Condition"]):
                yield name, definition

    def holds(self, name: str) -> bool:
        """Whether a condition is true."""
        if name not in self._conditions:
            if name not in self.section("Conditions"):
                self._problem(f"the condition {name} does not exist")
                return False
            self._conditions[name] = False  # a condition that needs itself ends here
            self._conditions[name] = self._truth(self.section("Conditions")[name])
        return self._conditions[name]

    def resolve(self, place: str, node: Any) -> Value:
        """Return a value with everything applied; problems are reported as being at the place."""
        before, self._place = self._place, f"{self.file}: {place}"
        try:
            return self._value(node)
        finally:
            self._place = before

    def output(self, name: str) -> Value:
        """Return what an output is, or say that there is none."""
        definition = self.section("Outputs").get(name)
        if definition is None:
            self._problem(f"the stack {self.path} has no output {name} ({self.file})")
        elif "Condition" in definition and not self.holds(definition["Condition"]):
            self._problem(f"the output {name} of the stack {self.path} does not exist here, by its condition")
        else:
            return self.resolve(f"Outputs.{name}", definition["Value"])
        return Unresolved(name)

    def asserts(self, rules: bool = True) -> Iterator[str]:
        """The sentences of the rules that the parameters break."""
        for rule in self.section("Rules").values() if rules else ():
            if "RuleCondition" in rule and not self._truth(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self._truth(assertion["Assert"]):
                    yield assertion.get("AssertDescription", "")

    def _problem(self, what: str) -> None:
        self.report(self._place or self.file, what)

    def _value(self, node: Any) -> Value:
        if isinstance(node, list):
            return [value for value in map(self._value, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            name, argument = next(iter(node.items()))
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](self, argument)
            if name.startswith("Fn::"):
                self._problem(f"{name} is no function that these checks know")
                return Unresolved(name)
        values = {key: self._value(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not NO_VALUE}

    def _truth(self, node: Any) -> bool:
        if isinstance(node, dict) and len(node) == 1 and (name := next(iter(node))) in _LOGIC:
            return _LOGIC[name](self, node[name])
        return self._value(node) in (True, "true")

    def _ref(self, name: str) -> Value:
        if name in self.parameters:
            value = self.parameters[name]
            listed = "List" in self.section("Parameters")[name]["Type"]
            return split(value, ",") if listed and not isinstance(value, list) else value
        if name in self.pseudo:
            return self.pseudo[name]
        return self._resource(name, "")

    def _get_att(self, argument: Any) -> Value:
        name, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
        attribute = self._value(attribute)
        definition = self.section("Resources").get(name)
        if definition is None or definition["Type"] != STACK or not attribute.startswith("Outputs."):
            return self._resource(name, attribute)
        if isinstance(self._resource(name, attribute), Unresolved):
            return Unresolved(name)
        nested = self.nest(self, name)
        return nested.output(attribute.removeprefix("Outputs.")) if nested else Unresolved(name)

    def _resource(self, name: str, attribute: str) -> Value:
        base, _, suffix = name.partition(".")  # SAM's Function.Alias
        resources = self.section("Resources")
        if base in resources:
            condition = resources[base].get("Condition")
            if condition and not self.holds(condition):
                self._problem(f"{name} is referred to, but does not exist here ({condition} is false)")
                return Unresolved(name)
            return Reference(self.name(base), attribute or suffix)
        if name in generated_names(resources):
            return Reference(self.name(name), attribute)
        self._problem(f"{name} is neither a parameter nor a resource")
        return Unresolved(name)

    def _sub(self, argument: Any) -> Value:
        text, given = argument if isinstance(argument, list) else (argument, {})
        values = self._value(given)
        parts: list[Value] = []
        end = 0
        for match in _VARIABLE.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            literal, name = match.groups()
            name = name.strip()
            if literal:
                parts.append("${" + name + "}")
            elif name in values:
                parts.append(values[name])
            elif "." in name and name.split(".")[0] in self.section("Resources"):
                parts.append(self._get_att(name))
            else:
                parts.append(self._ref(name))
        return join([*parts, text[end:]])

    def _if(self, argument: list[Any]) -> Value:
        condition, yes, no = argument
        return self._value(yes if self.holds(condition) else no)

    def _join(self, argument: list[Any]) -> Value:
        separator, items = argument
        values = self._value(items)
        if not isinstance(values, list):
            return Call("Join", (separator, values))
        parts: list[Value] = []
        for number, value in enumerate(values):
            parts.extend([separator, value] if number else [value])
        return join(parts)

    def _select(self, argument: list[Any]) -> Value:
        index, items = int(self._value(argument[0])), self._value(argument[1])
        if not isinstance(items, list):
            return Call("Select", (index, items))
        if index < len(items):
            return items[index]
        if len(items) == 1 and isinstance(items[0], SYMBOLS):
            return Call("Select", (index, items[0]))  # a piece of what only the deployment knows
        self._problem(f"Fn::Select takes number {index} of {len(items)}")
        return Unresolved("Fn::Select")

    def _find_in_map(self, argument: list[Any]) -> Value:
        title, *keys = map(self._value, argument[:3])
        found: Any = self.section("Mappings").get(title)
        for key in keys:
            if not isinstance(found, dict) or plain(key) not in {plain(known) for known in found}:
                self._problem(f"Fn::FindInMap finds no {plain(key)} in {title}")
                return Unresolved("Fn::FindInMap")
            found = next(value for known, value in found.items() if plain(known) == plain(key))
        return found

    def _cidr(self, argument: list[Any]) -> Value:
        block, count, bits = (*map(self._value, argument), "8")[:3]
        if not isinstance(block, str):
            return [Call("Cidr", (block, number)) for number in range(int(count))]
        network = ipaddress.ip_network(block)
        subnets = network.subnets(new_prefix=network.max_prefixlen - int(bits))
        return [str(subnet) for subnet, _ in zip(subnets, range(int(count)), strict=False)]

    def _import(self, argument: Any) -> Value:
        self._problem(f"{self._value(argument)} is imported, but stacks here hand over outputs, they export none")
        return Unresolved("Fn::ImportValue")

    def _zones(self, argument: Any) -> Value:
        region = self._value(argument) or self.pseudo["AWS::Region"]
        return [f"{region}{letter}" for letter in "abc"]


def _encoded(scope: Scope, argument: Any) -> Value:
    value = scope._value(argument)
    return base64.b64encode(value.encode()).decode() if isinstance(value, str) else Call("Base64", (value,))


def _json_text(scope: Scope, argument: Any) -> Value:
    value = scope._value(argument)
    return json.dumps(value, default=str, separators=(",", ":"))


_FUNCTIONS: Final[dict[str, Callable[[Scope, Any], Value]]] = {
    "Ref": Scope._ref,
    "Fn::GetAtt": Scope._get_att,
    "Fn::Sub": Scope._sub,
    "Fn::If": Scope._if,
    "Fn::Join": Scope._join,
    "Fn::Select": Scope._select,
    "Fn::Split": lambda scope, argument: split(scope._value(argument[1]), argument[0]),
    "Fn::FindInMap": Scope._find_in_map,
    "Fn::Cidr": Scope._cidr,
    "Fn::GetAZs": Scope._zones,
    "Fn::ImportValue": Scope._import,
    "Fn::Base64": _encoded,
    "Fn::ToJsonString": _json_text,
    "Fn::Length": lambda scope, argument: len(as_list(scope._value(argument))),
}


def _equal(scope: Scope, argument: list[Any]) -> bool:
    first, second = map(scope._value, argument)
    if isinstance(first, SYMBOLS) or isinstance(second, SYMBOLS):
        return bool(first == second)
    return plain(first) == plain(second)


def _contains(scope: Scope, argument: list[Any]) -> bool:
    allowed, value = map(scope._value, argument)
    return value in allowed


def _each_member_in(scope: Scope, argument: list[Any]) -> bool:
    values, allowed = map(scope._value, argument)
    return all(value in allowed for value in values)


_LOGIC: Final[dict[str, Callable[[Scope, Any], bool]]] = {
    "Fn::Equals": _equal,
    "Fn::And": lambda scope, argument: all(map(scope._truth, argument)),
    "Fn::Or": lambda scope, argument: any(map(scope._truth, argument)),
    "Fn::Not": lambda scope, argument: not scope._truth(argument[0]),
    "Fn::Contains": _contains,
    "Fn::EachMemberIn": _each_member_in,
    "Condition": lambda scope, argument: scope.holds(argument),
}
