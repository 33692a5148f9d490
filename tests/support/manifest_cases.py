"""One table of good and bad manifests, creates and updates: the API server and `admit` must answer alike.

A case changes a good manifest: dictionaries are merged, `DROP` removes a key, everything else replaces. `path` is the
field that must be named, `allowed` a piece of text that says what is allowed; both None for a good manifest.
"""

import copy
from dataclasses import dataclass
from typing import Any

DROP = object()

GOOD_JOB: dict[str, Any] = {
    "apiVersion": "fettle.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "case"},
    "spec": {
        "baseModel": {"path": "models/tiny"},
        "dataset": {"source": {"workspace": {"path": "datasets/kubectl"}}},
        "resources": {"gpusPerNode": 0},
    },
}
GOOD_ADAPTER: dict[str, Any] = {
    "apiVersion": "fettle.dev/v1alpha1",
    "kind": "Adapter",
    "metadata": {"name": "case"},
    "spec": {
        "baseModel": {"id": "models/tiny"},
        "source": {"trainingJob": "case"},
        "digest": "sha256:" + "a" * 64,
    },
}


@dataclass(frozen=True)
class Case:
    """A manifest, or an update of one, and what must be said of it."""

    name: str
    change: dict[str, Any]
    path: str | None = None
    allowed: str | None = None
    before: dict[str, Any] | None = None
    """For an update: the change that made the manifest that is stored already."""
    base: str = "TrainingJob"

    def manifest(self) -> dict[str, Any]:
        """What is sent."""
        return changed(GOOD_JOB if self.base == "TrainingJob" else GOOD_ADAPTER, self.change)

    def stored(self) -> dict[str, Any] | None:
        """What is stored before an update."""
        if self.before is None:
            return None
        return changed(GOOD_JOB if self.base == "TrainingJob" else GOOD_ADAPTER, self.before)


def changed(manifest: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The manifest with a change merged in."""
    result = copy.deepcopy(manifest)
    for key, value in change.items():
        if value is DROP:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = changed(result[key], value)
        else:
            result[key] = value
    return result


def _spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def _hyper(**fields: Any) -> dict[str, Any]:
    return _spec(hyperparameters=fields)


_OTHER_SOURCE = {"workspace": DROP, "huggingFace": {"id": "trl-lib/Capybara"}}
_PREFERENCE = {"format": "preference"}

CREATES: list[Case] = [
    Case("the smallest job", {}),
    Case("nulls mean defaults", _spec(adapter=None, startFrom=None, limits=None, webhook=None)),
    Case("null inside an object means the default", _spec(hyperparameters={"batchSize": None, "epochs": None})),
    Case("a hub model with a revision", _spec(baseModel={"path": DROP, "id": "org/name", "revision": "main"})),
    Case("a hub dataset", _spec(dataset={"source": _OTHER_SOURCE})),
    Case("inline examples", _spec(dataset={"source": {"workspace": DROP, "inline": {"examples": ["some text"]}}})),
    Case("dpo with beta", _spec(method="dpo", dataset=_PREFERENCE, hyperparameters={"beta": 0.2})),
    Case("kto with its weights", _spec(method="kto", hyperparameters={"desirableWeight": 1.5})),
    Case("merge without a dataset", _spec(method="merge", dataset=DROP, startFrom={"trainingJob": "other"})),
    Case("full fine-tuning", _spec(adapter={"type": "none"})),
    Case("qlora", _spec(adapter={"type": "qlora", "quantization": {"bits": 8}})),
    Case("evaluation by steps", _hyper(evaluationSteps=10)),
    Case("evaluation by share", _hyper(evaluationSteps=0.2)),
    Case("an environment", _spec(runtime={"env": [{"name": "A", "value": "1"}, {"name": "B"}]})),
    Case("a whole affinity", _spec(runtime={"affinity": {"nodeAffinity": {"anything": [1]}}})),
    Case("a custom template", _spec(dataset={"template": {"name": "custom", "custom": {"userPrefix": "U: "}}})),
    Case("a name in capitals", {"metadata": {"name": "Case"}}, "metadata.name", "[a-z]"),
    Case("a name that starts with a digit", {"metadata": {"name": "1case"}}, "metadata.name", "[a-z]"),
    Case("a name of 53 characters", {"metadata": {"name": "a" * 53}}, "metadata.name", "52"),
    Case("no spec", {"spec": DROP}, "spec", "Required"),
    Case("an unknown field", _spec(foo=1), "spec.foo", "unknown field"),
    Case(
        "a misspelt field deep down", _hyper(learning_rate=1e-4), "spec.hyperparameters.learning_rate", "unknown field"
    ),
    Case("an unknown method", _spec(method="ppo"), "spec.method", "sft"),
    Case("no base model", _spec(baseModel=DROP), "spec.baseModel", "Required"),
    Case("an empty base model", _spec(baseModel={"path": DROP}), "spec.baseModel", "exactly one of id, path"),
    Case("two base models", _spec(baseModel={"id": "org/name"}), "spec.baseModel", "exactly one of id, path"),
    Case("a revision of a path", _spec(baseModel={"revision": "main"}), "spec.baseModel.revision", "id"),
    Case(
        "a path that leaves the workspace", _spec(baseModel={"path": "../etc"}), "spec.baseModel.path", "should match"
    ),
    Case("an absolute path", _spec(baseModel={"path": "/etc/passwd"}), "spec.baseModel.path", "should match"),
    Case("a hidden component", _spec(baseModel={"path": "models/.git"}), "spec.baseModel.path", "should match"),
    Case(
        "a hub id with two slashes", _spec(baseModel={"path": DROP, "id": "a/b/c"}), "spec.baseModel.id", "should match"
    ),
    Case("no dataset", _spec(dataset=DROP), "spec.dataset", "required for every method but merge"),
    Case("no source", _spec(dataset={"source": DROP}), "spec.dataset.source", "Required"),
    Case(
        "two sources",
        _spec(dataset={"source": {"huggingFace": {"id": "a/b"}}}),
        "spec.dataset.source",
        "exactly one of workspace, huggingFace, inline",
    ),
    Case(
        "an empty source",
        _spec(dataset={"source": {"workspace": DROP}}),
        "spec.dataset.source",
        "exactly one of workspace, huggingFace, inline",
    ),
    Case(
        "no inline example",
        _spec(dataset={"source": {"workspace": DROP, "inline": {"examples": []}}}),
        "spec.dataset.source.inline.examples",
        "at least 1",
    ),
    Case(
        "101 inline examples",
        _spec(dataset={"source": {"workspace": DROP, "inline": {"examples": ["ab"] * 101}}}),
        "spec.dataset.source.inline.examples",
        "100",
    ),
    Case(
        "an inline example of 9 KiB",
        _spec(dataset={"source": {"workspace": DROP, "inline": {"examples": ["a" * 9216]}}}),
        "spec.dataset.source.inline.examples[0]",
        "8192",
    ),
    Case("an unknown format", _spec(dataset={"format": "csv"}), "spec.dataset.format", "alpaca"),
    Case("sft on preferences", _spec(dataset=_PREFERENCE), "spec.dataset.format", "messages"),
    Case("dpo on text", _spec(method="dpo", dataset={"format": "text"}), "spec.dataset.format", "preference"),
    Case("kto on text", _spec(method="kto", dataset={"format": "text"}), "spec.dataset.format", "unpaired-preference"),
    Case(
        "too much held out",
        _spec(dataset={"evaluation": {"fraction": 0.6}}),
        "spec.dataset.evaluation.fraction",
        "less than or equal to 0.5",
    ),
    Case(
        "evaluation from two sources",
        _spec(dataset={"evaluation": {"source": {"workspace": {"path": "a"}, "huggingFace": {"id": "a/b"}}}}),
        "spec.dataset.evaluation.source",
        "exactly one of",
    ),
    Case(
        "evaluation by fraction and source",
        _spec(dataset={"evaluation": {"fraction": 0.1, "source": {"workspace": {"path": "a"}}}}),
        "spec.dataset.evaluation",
        "not both",
    ),
    Case(
        "a custom template without pieces",
        _spec(dataset={"template": {"name": "custom"}}),
        "spec.dataset.template.custom",
        "required when name is custom",
    ),
    Case(
        "pieces without a custom template",
        _spec(dataset={"template": {"custom": {}}}),
        "spec.dataset.template.custom",
        "required when name is custom",
    ),
    Case("rank 0", _spec(adapter={"rank": 0}), "spec.adapter.rank", "greater than or equal to 1"),
    Case("rank as text", _spec(adapter={"rank": "16"}), "spec.adapter.rank", "integer"),
    Case("alpha 0", _spec(adapter={"alpha": 0}), "spec.adapter.alpha", "greater than 0"),
    Case("dropout 1", _spec(adapter={"dropout": 1}), "spec.adapter.dropout", "less than 1"),
    Case("no target modules", _spec(adapter={"targetModules": []}), "spec.adapter.targetModules", "at least 1"),
    Case("a rank without an adapter", _spec(adapter={"type": "none", "rank": 8}), "spec.adapter.rank", "none"),
    Case("quantization of lora", _spec(adapter={"quantization": {}}), "spec.adapter.quantization", "qlora"),
    Case(
        "5 bits",
        _spec(adapter={"type": "qlora", "quantization": {"bits": 5}}),
        "spec.adapter.quantization.bits",
        "8",
    ),
    Case("epochs 0", _hyper(epochs=0), "spec.hyperparameters.epochs", "greater than 0"),
    Case("a learning rate as text", _hyper(learningRate="fast"), "spec.hyperparameters.learningRate", "number"),
    Case("sft with beta", _hyper(beta=0.1), "spec.hyperparameters.beta", "cpo, dpo, ipo, kto, orpo, simpo"),
    Case(
        "dpo with packing",
        _spec(method="dpo", hyperparameters={"packing": True}),
        "spec.hyperparameters.packing",
        "sft",
    ),
    Case(
        "two warm-ups",
        _hyper(warmupRatio=0.1, warmupSteps=10),
        "spec.hyperparameters.warmupSteps",
        "not both",
    ),
    Case(
        "kto one by one", _spec(method="kto", hyperparameters={"batchSize": 1}), "spec.hyperparameters.batchSize", "2"
    ),
    Case("2.5 steps", _hyper(evaluationSteps=2.5), "spec.hyperparameters.evaluationSteps", "whole number"),
    Case("an unknown optimizer", _hyper(optimizer="magic"), "spec.hyperparameters.optimizer", "adamw_torch"),
    Case("merge from nothing", _spec(method="merge", dataset=DROP), "spec.startFrom", "merge needs startFrom"),
    Case(
        "two starts",
        _spec(startFrom={"trainingJob": "a", "adapter": "b"}),
        "spec.startFrom",
        "exactly one of trainingJob, adapter",
    ),
    Case(
        "a checkpoint of an adapter",
        _spec(startFrom={"adapter": "b", "checkpoint": "latest"}),
        "spec.startFrom.checkpoint",
        "trainingJob",
    ),
    Case(
        "a strange checkpoint",
        _spec(startFrom={"trainingJob": "b", "checkpoint": "newest"}),
        "spec.startFrom.checkpoint",
        "should match",
    ),
    Case("nothing to merge", _spec(adapter={"type": "none"}, output={"merge": True}), "spec.output.merge", "none"),
    Case("65 GPUs", _spec(resources={"gpusPerNode": 65}), "spec.resources.gpusPerNode", "64"),
    Case("no node", _spec(resources={"nodes": 0}), "spec.resources.nodes", "greater than or equal to 1"),
    Case("memory in words", _spec(resources={"memory": "a lot"}), "spec.resources.memory", "should match"),
    Case(
        "a secret in the manifest",
        _spec(runtime={"env": [{"name": "HF_TOKEN", "value": "x"}]}),
        "spec.runtime.env",
        "credentials.secretName",
    ),
    Case("an unknown priority", _spec(scheduling={"priority": "urgent"}), "spec.scheduling.priority", "high"),
    Case("negative retries", _spec(limits={"maxRetries": -1}), "spec.limits.maxRetries", "greater than or equal to 0"),
    Case("a webhook by mail", _spec(webhook={"url": "mailto:someone"}), "spec.webhook.url", "should match"),
    Case("an adapter from a job", {}, base="Adapter"),
    Case(
        "an adapter from nowhere", _spec(source={"trainingJob": DROP}), "spec.source", "exactly one of", base="Adapter"
    ),
    Case("a short digest", _spec(digest="sha256:abc"), "spec.digest", "should match", base="Adapter"),
    Case("port 0", _spec(serving={"port": 0}), "spec.serving.port", "greater than or equal to 1", base="Adapter"),
]

UPDATES: list[Case] = [
    Case("suspend", _spec(suspend=True), before={}),
    Case("resume", _spec(suspend=False), before=_spec(suspend=True)),
    Case("cancel", _spec(cancel=True), before={}),
    Case("another priority", _spec(scheduling={"priority": "high"}), before={}),
    Case("other limits", _spec(limits={"maxRetries": 9, "activeDeadlineSeconds": 60}), before={}),
    Case("nothing changed but written out", _spec(adapter={"type": "lora"}), before={}),
    Case("a null for what was absent", _spec(startFrom=None), before={}),
    Case("cancel taken back", _spec(cancel=False), "spec.cancel", "cannot be taken back", before=_spec(cancel=True)),
    Case("another method", _spec(method="orpo"), "spec.method", "immutable", before={}),
    Case("another model", _spec(baseModel={"path": "models/b"}), "spec.baseModel", "immutable", before={}),
    Case("a rank added", _spec(adapter={"rank": 8}), "spec.adapter", "immutable", before={}),
    Case("a rank removed", {}, "spec.adapter", "immutable", before=_spec(adapter={"rank": 8})),
    Case("another learning rate", _hyper(learningRate=1e-3), "spec.hyperparameters", "immutable", before={}),
    Case("a start added", _spec(startFrom={"adapter": "b"}), "spec.startFrom", "immutable", before={}),
    Case("a start removed", {}, "spec.startFrom", "immutable", before=_spec(startFrom={"adapter": "b"})),
    Case("another queue", _spec(scheduling={"queue": "other"}), "spec.scheduling.queue", "immutable", before={}),
    Case(
        "a Kueue queue added",
        _spec(scheduling={"kueueQueue": "q"}),
        "spec.scheduling.kueueQueue",
        "immutable",
        before={},
    ),
    Case("another image", _spec(runtime={"image": "a:b"}), "spec.runtime", "immutable", before={}),
    Case("another seed", _hyper(seed=7), "spec.hyperparameters", "immutable", before=_hyper(seed=42)),
    Case("an adapter is loaded", _spec(serving={"load": True}), before={}, base="Adapter"),
    Case(
        "a new version",
        _spec(source={"trainingJob": "second"}, digest="sha256:" + "b" * 64),
        before={},
        base="Adapter",
    ),
    Case(
        "another digest of the same source",
        _spec(digest="sha256:" + "b" * 64),
        "spec.digest",
        "only together with source",
        before={},
        base="Adapter",
    ),
    Case(
        "an adapter of another base",
        _spec(baseModel={"id": "b"}),
        "spec.baseModel",
        "immutable",
        before={},
        base="Adapter",
    ),
]
