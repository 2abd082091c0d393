"""The resolver itself, on templates small enough to see through."""

from __future__ import annotations

from typing import Any

import pytest

from tests.aws.documents import Document, Project, nested_path, parse
from tests.aws.model import Model, resolve
from tests.aws.profiles import Profile
from tests.aws.values import Call, Reference, Text, join, split

OUTER = """
Parameters:
  EnvironmentName: {Type: String, Default: dev}
  Subnets: {Type: CommaDelimitedList, Default: "a,b,c"}
Conditions:
  IsProd: !Equals [!Ref EnvironmentName, prod]
  IsNotProd: !Not [!Condition IsProd]
Mappings:
  Sizes:
    dev: {Tasks: 1}
    prod: {Tasks: 2}
Resources:
  First:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: sam/first.yaml, Parameters: {Name: !Ref EnvironmentName}}
  Second:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: sam/second.yaml
      Parameters: {QueueArn: !GetAtt First.Outputs.QueueArn, Ids: !GetAtt First.Outputs.Ids}
  Plain:
    Type: AWS::SNS::Topic
    Condition: IsNotProd
    Properties:
      Joined: !Join ["-", [a, !Ref EnvironmentName, 3, true]]
      Text: !Sub "${EnvironmentName}/${!literal}/${AWS::Region}"
      Tasks: !FindInMap [Sizes, !Ref EnvironmentName, Tasks]
      Second: !Select [1, !Ref Subnets]
      Gone: !If [IsProd, x, !Ref "AWS::NoValue"]
      Blocks: !Cidr [10.0.0.0/16, 2, 8]
      Listed: [!If [IsProd, x, !Ref "AWS::NoValue"], y]
"""
FIRST = """
Parameters:
  Name: {Type: String}
Resources:
  Queue: {Type: "AWS::SQS::Queue", Properties: {QueueName: !Sub "q-${Name}"}}
Outputs:
  QueueArn: {Value: !GetAtt Queue.Arn}
  Ids: {Value: !Join [",", [!Ref Queue, fixed]]}
"""
SECOND = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  QueueArn: {Type: String}
  Ids: {Type: CommaDelimitedList}
Globals:
  Function: {Timeout: 30, Environment: {Variables: {A: one}}}
Resources:
  Work:
    Type: AWS::Serverless::Function
    Properties:
      Handler: x.y
      Environment: {Variables: {B: !Ref QueueArn}}
      VpcConfig: {SubnetIds: !Ref Ids}
      AutoPublishAlias: live
      Events: {Scores: {Type: SQS, Properties: {Queue: !Ref QueueArn, BatchSize: 5}}}
Outputs:
  Live: {Value: !Ref Work.Alias}
  Name: {Value: !Select [5, !Split [":", !Ref QueueArn]]}
"""


def model(outer: str = OUTER, first: str = FIRST, second: str = SECOND, **given: str) -> Model:
    documents: dict[str, Document] = {
        "template.yaml": parse(outer),
        "sam/first.yaml": parse(first),
        "sam/second.yaml": parse(second),
    }
    return resolve(Project(documents, {}), Profile("dev", "dev", given))


def properties(found: Model, path: str) -> dict[str, Any]:
    return found.resources[path].properties


def test_functions_of_plain_values_give_plain_values() -> None:
    assert properties(model(), "Plain") == {
        "Joined": "a-dev-3-true",
        "Text": "dev/${literal}/us-east-1",
        "Tasks": 1,
        "Second": "b",
        "Blocks": ["10.0.0.0/24", "10.0.1.0/24"],
        "Listed": ["y"],
    }


def test_a_condition_that_is_false_takes_its_resource_away() -> None:
    assert "Plain" not in model(EnvironmentName="prod").resources


def test_an_output_of_one_nested_stack_reaches_a_resource_of_another() -> None:
    found = model()
    assert properties(found, "Second/Work")["Environment"]["Variables"] == {
        "A": "one",
        "B": Reference("First/Queue", "Arn"),
    }
    assert properties(found, "Second/Work")["VpcConfig"]["SubnetIds"] == [Reference("First/Queue"), "fixed"]
    assert found.problems == []


def test_the_transform_makes_event_source_alias_and_role() -> None:
    found = model()
    assert found.resources["Second/WorkScores"].type == "AWS::Lambda::EventSourceMapping"
    assert properties(found, "Second/WorkScores")["EventSourceArn"] == Reference("First/Queue", "Arn")
    assert properties(found, "Second/Work")["Timeout"] == 30
    assert properties(found, "Second/Work")["Role"] == Reference("Second/WorkRole", "Arn")
    assert found.stacks["Second"].output("Live") == Reference("Second/Work", "Alias")


def test_a_piece_of_what_only_the_deployment_knows_stays_a_call() -> None:
    assert model().stacks["Second"].output("Name") == Call("Select", (5, Reference("First/Queue", "Arn")))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ((OUTER, "First.Outputs.QueueArn", "First.Outputs.QueueArm"), "the stack First has no output QueueArm"),
        ((OUTER, "!Ref EnvironmentName, 3", "!Ref EnvironmentNam, 3"), "EnvironmentNam is neither a parameter nor"),
        ((OUTER, "{Name: !Ref EnvironmentName}", "{}"), "the parameter Name of sam/first.yaml is not given"),
        ((OUTER, "{Name: !Ref EnvironmentName}", "{Name: x, Other: y}"), "Other is given, but sam/first.yaml has none"),
        ((OUTER, "{Name: !Ref EnvironmentName}", "{Name: !Ref Subnets}"), "the parameter Name is no text"),
        ((OUTER, "sam/first.yaml", "sam/third.yaml"), "the template sam/third.yaml does not exist"),
        ((OUTER, "!Select [1,", "!Select [9,"), "Fn::Select takes number 9 of 3"),
        ((OUTER, "Sizes, !Ref EnvironmentName, Tasks", "Sizes, test, Tasks"), "finds no test in Sizes"),
        ((OUTER, '!If [IsProd, x, !Ref "AWS::NoValue"], y', "!If [IsProt, x, z], y"), "the condition IsProt does not"),
        ((FIRST, "!GetAtt Queue.Arn", "!GetAtt Kueue.Arn"), "Kueue is neither a parameter nor a resource"),
        ((FIRST, '"AWS::SQS::Queue", ', '"AWS::SQS::Queue", DependsOn: Nothing, '), "DependsOn names Nothing"),
        ((FIRST, "!Ref Queue,", "!ImportValue Queue,"), "Queue is imported"),
        ((FIRST, "!Ref Queue,", "!Transform {Name: x},"), "Fn::Transform is no function"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_leads_nowhere_is_said(change: tuple[str, str, str], problem: str) -> None:
    whole, before, after = change
    assert before in whole
    texts = [text.replace(before, after) if text is whole else text for text in (OUTER, FIRST, SECOND)]
    assert [what for _, what in model(*texts).problems if problem in what] != []


def test_a_reference_to_what_the_condition_takes_away_is_said() -> None:
    outer = OUTER + "Outputs: {Topic: {Value: !Ref Plain}}\n"
    assert model(outer).problems == []
    (problem,) = model(outer, EnvironmentName="prod").problems
    assert "Plain is referred to, but does not exist here" in problem[1]


def test_stacks_that_need_each_other_are_said() -> None:
    outer = OUTER.replace("{Name: !Ref EnvironmentName}", "{Name: !GetAtt Second.Outputs.Name}")
    assert any("in a circle" in what for _, what in model(outer).problems)


def test_texts_are_joined_and_split_around_symbols() -> None:
    symbol = Reference("Queue", "Arn")
    assert join(["a", symbol, "/", 1]) == Text(("a", symbol, "/1"))
    assert split(Text(("a,", symbol, "/x,b")), ",") == ["a", Text((symbol, "/x")), "b"]
    assert join([symbol]) is symbol


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(Exception, match="is there twice"):
        parse("Resources: {A: 1, A: 2}")


def test_nested_paths_are_relative_to_the_template_that_names_them() -> None:
    assert nested_path("sam/service.yaml", "task.yaml") == "sam/task.yaml"
    assert nested_path("sam/service.yaml", "../build/x.yaml") == "build/x.yaml"
    assert nested_path("template.yaml", "./sam/x.yaml") == "sam/x.yaml"
