"""The kubectl example dataset is well formed, and its held-out rows are unseen combinations of seen parts.

Two rows are the same combination when they are equal after names and numbers are taken out. What a name is
follows from the data: every word of a command that is neither a number nor in `VOCABULARY`.
"""

import json
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

DATASET_PATH = Path(__file__).parents[3] / "examples" / "datasets" / "kubectl"


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = word_set(
    "annotate api-resources apply auth autoscale config cordon cp create delete describe diff drain edit events "
    "exec explain expose get label logs patch port-forward rollout run scale set taint top uncordon wait"
)
SUBCOMMANDS = word_set(
    "can-i current-context env generic get-contexts history image list pause restart resume set-context status "
    "undo use-context"
)
KINDS = word_set(
    "adapter adapters configmap configmaps cronjob cronjobs daemonset daemonsets deployment deployments ingress "
    "ingresses job jobs namespace namespaces node nodes pod pods pvc secret secrets service services statefulset "
    "statefulsets tj"
)
VALUES = word_set(
    "Available Complete NoExecute NoSchedule NodePort PreferNoSchedule Ready Warning cancel client condition "
    "containers cpu creationTimestamp false json memory merge metadata name server spec strategy suspend true "
    "wide yaml"
)
VOCABULARY = VERBS | SUBCOMMANDS | KINDS | VALUES | {"kubectl", "sh"}

NUMBER = re.compile(r"\d+[smh]?")
FLAG = re.compile(r"(?<!\S)--?[a-z][a-z-]*")
WORD = re.compile(r"[A-Za-z0-9_/](?:[\w/-]*[\w/])?")
KIND_BEFORE_NAME = re.compile(rf"\b({'|'.join(sorted(KINDS))})/")


def read(file_name: str) -> list[dict[str, Any]]:
    lines = (DATASET_PATH / file_name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def pairs(file_name: str) -> list[tuple[str, str]]:
    """The (request, command) of each row."""
    return [(row["messages"][1]["content"], row["messages"][2]["content"]) for row in read(file_name)]


def is_name(word: str) -> bool:
    return word not in VOCABULARY and NUMBER.fullmatch(word) is None


def words_of(command: str) -> list[str]:
    """The words of a command, without flags; `pod/web-7` is two."""
    return WORD.findall(FLAG.sub(" ", KIND_BEFORE_NAME.sub(r"\1 ", command)))


def names_in(command: str) -> set[str]:
    """The words that the writer of a command was free to choose, lower-case."""
    return {word.lower() for word in words_of(command) if is_name(word)}


def without_names(text: str, names: set[str]) -> str:
    """`text` in lower case, its names replaced by NAME and its numbers by #."""

    def replacement(match: re.Match[str]) -> str:
        word = match.group()
        if word in names:
            return "NAME"
        return NUMBER.sub("#", word) if NUMBER.fullmatch(word) else word

    words = WORD.sub(replacement, KIND_BEFORE_NAME.sub(r"\1 ", text.lower())).split()
    return re.sub(r"#(\.#)+", "#", " ".join(words))


def normalised_request(request: str, command: str) -> str:
    return without_names(request, names_in(command))


def normalised_command(command: str) -> str:
    return without_names(command, names_in(command))


def parts(command: str) -> set[str]:
    """What a model has to know to write a command: its words and flags that are neither names nor numbers."""
    return (set(words_of(command)) & VOCABULARY) | set(FLAG.findall(command))


def collisions(held_out: list[tuple[str, str]], train: list[tuple[str, str]]) -> list[tuple[str, str]]:
    requests = {normalised_request(request, command) for request, command in train}
    commands = {normalised_command(command) for _, command in train}
    return [
        (request, command)
        for request, command in held_out
        if normalised_request(request, command) in requests or normalised_command(command) in commands
    ]


both_files = pytest.mark.parametrize("file_name", ["train.jsonl", "heldout.jsonl"])


def test_there_are_enough_rows() -> None:
    assert len(read("train.jsonl")) >= 220
    assert len(read("heldout.jsonl")) == 30


@both_files
def test_each_row_is_the_system_message_one_request_and_one_answer(file_name: str) -> None:
    for row in read(file_name):
        assert list(row) == ["messages"]
        assert [sorted(message) for message in row["messages"]] == [["content", "role"]] * 3
        assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
        assert row["messages"][0]["content"] == "Answer with one kubectl command."
        for message in row["messages"]:
            assert message["content"] == message["content"].strip() != ""


@both_files
def test_each_command_is_a_kubectl_command_with_a_known_verb(file_name: str) -> None:
    for _, command in pairs(file_name):
        program, verb, *_ = shlex.split(command)
        assert (program, verb in VERBS) == ("kubectl", True), command


@both_files
def test_the_namespace_is_the_last_flag_and_short(file_name: str) -> None:
    for _, command in pairs(file_name):
        words = shlex.split(command.split(" -- ")[0])
        assert "--all-namespaces" not in words, command
        assert "-A" not in words[:-1], command
        assert "-n" not in words or words[-2] == "-n", command
        assert words[1] == "config" or not any(word.startswith("--namespace=") for word in words), command


@both_files
def test_no_request_occurs_twice(file_name: str) -> None:
    counts = Counter(request.lower() for request, _ in pairs(file_name))
    assert [request for request, count in counts.items() if count > 1] == []


@both_files
def test_everything_that_a_command_names_is_in_its_request(file_name: str) -> None:
    for request, command in pairs(file_name):
        missing = {name for name in names_in(command) if name not in request.lower()}
        assert missing == set(), command


def test_requests_that_differ_only_in_names_have_commands_that_differ_only_in_names() -> None:
    commands: dict[str, str] = {}
    for request, command in pairs("train.jsonl") + pairs("heldout.jsonl"):
        expected = commands.setdefault(normalised_request(request, command), normalised_command(command))
        assert normalised_command(command) == expected, request


def test_no_held_out_request_or_command_occurs_in_training() -> None:
    assert collisions(pairs("heldout.jsonl"), pairs("train.jsonl")) == []


def test_a_training_row_under_other_names_would_be_found_in_the_held_out_rows() -> None:
    train = [("Show the logs of the pod web-7 in the namespace shop", "kubectl logs web-7 -n shop")]
    renamed = ("Show the logs of the pod redis-12 in the namespace dev", "kubectl logs redis-12 -n dev")
    reworded = ("Print what the pod api-3 in the namespace qa says", "kubectl logs api-3 -n qa")
    unseen = ("Follow the logs of the pod web-7 in the namespace shop", "kubectl logs web-7 -f -n shop")
    assert collisions([*train, renamed, reworded, unseen], train) == [*train, renamed, reworded]


def test_every_training_row_would_be_found_in_the_held_out_rows() -> None:
    train = pairs("train.jsonl")
    assert collisions(train, train) == train


def test_every_part_of_a_held_out_command_occurs_in_three_training_commands() -> None:
    seen = Counter(part for _, command in pairs("train.jsonl") for part in parts(command))
    wanted = {part for _, command in pairs("heldout.jsonl") for part in parts(command)}
    assert {part: seen[part] for part in wanted if seen[part] < 3} == {}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("kubectl logs web-7 --tail=50 -n shop", "kubectl logs NAME --tail=# -n NAME"),
        ("kubectl get pods -l app=web -o yaml", "kubectl get pods -l NAME=NAME -o yaml"),
        ("kubectl set image deployment web app=acme/web:2.1", "kubectl set image deployment NAME NAME=NAME:#"),
        ("kubectl port-forward service/api 9000:80", "kubectl port-forward service NAME #:#"),
        ("kubectl wait pod web-7 --for=condition=Ready", "kubectl wait pod NAME --for=condition=ready"),
    ],
)
def test_normalising_takes_out_names_and_numbers_and_nothing_else(command: str, expected: str) -> None:
    assert normalised_command(command) == expected
