"""The templates as they are written: YAML with CloudFormation's tags, each in its long form."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
ROOT_TEMPLATE: Final = "template.yaml"
BOOTSTRAP_TEMPLATE: Final = "sam/bootstrap.yaml"
STACK: Final = "AWS::CloudFormation::Stack"

Document = dict[str, Any]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Takes the tags, keeps dates as text (a policy's Version is none), and refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)} is there twice", node.start_mark)
        made: dict[Any, Any] = super().construct_mapping(node, deep=True)
        return made


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def parse(text: str) -> Document:
    """Return a template's content."""
    document = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with a few plain tags more
    assert isinstance(document, dict)
    return document


@dataclass(frozen=True, slots=True)
class Project:
    """Every template that a deployment uses, by its path in the clone, and the SAM configuration."""

    documents: dict[str, Document]
    configuration: dict[str, Any]

    @classmethod
    def load(cls, root: Path = ROOT, generated: Mapping[str, Document] | None = None) -> Project:
        """Read the root template, what it nests, and the bootstrap template; some may be given as they are."""
        documents: dict[str, Document] = {}
        given = generated or {}
        waiting = [ROOT_TEMPLATE, *([BOOTSTRAP_TEMPLATE] if (root / BOOTSTRAP_TEMPLATE).exists() else [])]
        while waiting:
            path = waiting.pop()
            if path in documents or (path not in given and not (root / path).exists()):
                continue  # a nested template that is not there is found when it is followed
            documents[path] = given[path] if path in given else parse((root / path).read_text())
            waiting.extend(nested for _, nested in nested_templates(path, documents[path]))
        return cls(documents, tomllib.loads((root / "samconfig.toml").read_text()))

    def copy(self) -> Project:
        """Return one that can be changed without changing this one."""
        return Project(copy.deepcopy(self.documents), copy.deepcopy(self.configuration))

    def write(self, folder: Path) -> None:
        """Write the templates, in the long form, for programs that read files."""
        for path, document in self.documents.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(yaml.safe_dump(document, sort_keys=False, width=120))


def nested_templates(path: str, document: Document) -> Iterator[tuple[str, str]]:
    """The (name of the resource, path in the clone) of each nested stack."""
    for name, resource in document.get("Resources", {}).items():
        if resource.get("Type") == STACK:
            yield name, nested_path(path, resource["Properties"]["TemplateURL"])


def nested_path(path: str, url: str) -> str:
    """Return where a nested template is, as written in another one."""
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / url).parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a document, the outer before the inner."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)
