"""Rules of a TrainingJob."""

from fettle_schema.defaults import METHODS_WITH, PREFERENCE_METHODS
from fettle_schema.rules import Rule, Spec, exactly_one, immutable, present, required_fields
from fettle_schema.training_job import Method, TrainingJobSpec

MUTABLE = frozenset({"suspend", "cancel", "scheduling", "limits"})
"""Fields of spec that may change; of `scheduling` only the priority."""

SECRET_VARIABLES = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "WANDB_API_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
)


def _set_names(names: frozenset[Method]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in sorted(names)) + "]"


def _only_with_methods(name: str, methods: frozenset[Method]) -> Rule:
    allowed = ", ".join(sorted(methods))
    return Rule(
        path=f"hyperparameters.{name}",
        message=f"{name} exists only for the methods {allowed}",
        cel=f"!has(self.hyperparameters.{name}) || self.method in {_set_names(methods)}",
        holds=lambda spec, _old: present(spec, "hyperparameters", name) is None or spec["method"] in methods,
    )


def _not_without_adapter(name: str) -> Rule:
    return Rule(
        path=f"adapter.{name}",
        message=f"{name} has no meaning when adapter.type is none (full fine-tuning)",
        cel=f"self.type != 'none' || !has(self.{name})",
        holds=lambda spec, _old: spec["adapter"]["type"] != "none" or present(spec, "adapter", name) is None,
        at="adapter",
    )


def _not_both(at: str, first: str, second: str) -> Rule:
    return Rule(
        path=f"{at}.{second}",
        message=f"set {first} or {second}, not both",
        cel=f"!(has(self.{first}) && has(self.{second}))",
        holds=lambda spec, _old: present(spec, at, first) is None or present(spec, at, second) is None,
        at=at,
    )


def _formats_of(methods: frozenset[Method], formats: tuple[str, ...]) -> Rule:
    names = ", ".join(sorted(methods))
    listed = ", ".join(formats)
    return Rule(
        path="dataset.format",
        message=f"the methods {names} need one of the formats {listed}",
        cel=f"!has(self.dataset) || !(self.method in {_set_names(methods)}) || self.dataset.format in "
        + "["
        + ", ".join(f"'{name}'" for name in formats)
        + "]",
        holds=lambda spec, _old: (
            present(spec, "dataset") is None or spec["method"] not in methods or spec["dataset"]["format"] in formats
        ),
    )


def _custom_template(spec: Spec, _old: Spec) -> bool:
    template = present(spec, "dataset", "template")
    return template is None or (template["name"] == "custom") == (present(template, "custom") is not None)


def _evaluation_is_one(spec: Spec, _old: Spec) -> bool:
    evaluation = present(spec, "dataset", "evaluation")
    return present(evaluation, "fraction") is None or present(evaluation, "source") is None


def _no_secret_variables(spec: Spec, _old: Spec) -> bool:
    return all(variable["name"] not in SECRET_VARIABLES for variable in spec["runtime"].get("env", []))


_STRUCTURE: list[Rule] = [
    exactly_one("baseModel", ("id", "path")),
    Rule(
        path="baseModel.revision",
        message="revision belongs to id; a path has none",
        cel="!has(self.revision) || has(self.id)",
        holds=lambda spec, _old: (
            present(spec, "baseModel", "revision") is None or present(spec, "baseModel", "id") is not None
        ),
        at="baseModel",
    ),
    Rule(
        path="dataset",
        message="dataset is required for every method but merge",
        cel="self.method == 'merge' || has(self.dataset)",
        holds=lambda spec, _old: spec["method"] == "merge" or present(spec, "dataset") is not None,
    ),
    exactly_one("dataset.source", ("workspace", "huggingFace", "inline")),
    exactly_one("dataset.evaluation.source", ("workspace", "huggingFace", "inline")),
    Rule(
        path="dataset.evaluation",
        message="set fraction or source, not both",
        cel="!has(self.fraction) || !has(self.source)",
        holds=_evaluation_is_one,
        at="dataset.evaluation",
    ),
    Rule(
        path="dataset.template.custom",
        message="custom is required when name is custom, and has no meaning otherwise",
        cel="(has(self.name) && self.name == 'custom') == has(self.custom)",
        holds=_custom_template,
        at="dataset.template",
    ),
    _formats_of(PREFERENCE_METHODS - {Method.KTO}, ("auto", "preference")),
    _formats_of(frozenset({Method.KTO}), ("auto", "unpaired-preference", "preference")),
    _formats_of(frozenset({Method.SFT}), ("auto", "messages", "prompt-completion", "text", "alpaca", "sharegpt")),
]

_WEIGHTS: list[Rule] = [
    *(
        _not_without_adapter(name)
        for name in ("rank", "alpha", "dropout", "targetModules", "modulesToSave", "bias", "useDora", "useRslora")
    ),
    Rule(
        path="adapter.quantization",
        message="quantization needs adapter.type qlora",
        cel="!has(self.quantization) || self.type == 'qlora'",
        holds=lambda spec, _old: present(spec, "adapter", "quantization") is None or spec["adapter"]["type"] == "qlora",
        at="adapter",
    ),
    *(_only_with_methods(name, methods) for name, methods in METHODS_WITH.items()),
    _not_both("hyperparameters", "warmupRatio", "warmupSteps"),
    _not_both("hyperparameters", "learningRate", "learningRateMultiplier"),
    Rule(
        path="hyperparameters.batchSize",
        message="kto needs a batchSize of at least 2",
        cel="self.method != 'kto' || self.hyperparameters.batchSize >= 2",
        holds=lambda spec, _old: spec["method"] != "kto" or spec["hyperparameters"]["batchSize"] >= 2,
    ),
    Rule(
        path="hyperparameters.evaluationSteps",
        message="evaluationSteps is a share of all steps below 1, or a whole number of steps",
        cel="self < 1.0 || double(int(self)) == self",
        holds=lambda spec, _old: (
            (steps := present(spec, "hyperparameters", "evaluationSteps")) is None
            or steps < 1
            or float(steps).is_integer()
        ),
        at="hyperparameters.evaluationSteps",
    ),
]

_START_AND_OUTPUT: list[Rule] = [
    exactly_one("startFrom", ("trainingJob", "adapter")),
    Rule(
        path="startFrom.checkpoint",
        message="checkpoint belongs to trainingJob",
        cel="!has(self.checkpoint) || has(self.trainingJob)",
        holds=lambda spec, _old: (
            present(spec, "startFrom", "checkpoint") is None or present(spec, "startFrom", "trainingJob") is not None
        ),
        at="startFrom",
    ),
    Rule(
        path="startFrom",
        message="merge needs startFrom: the job or the Adapter whose weights are merged",
        cel="self.method != 'merge' || has(self.startFrom)",
        holds=lambda spec, _old: spec["method"] != "merge" or present(spec, "startFrom") is not None,
    ),
    Rule(
        path="output.merge",
        message="there is nothing to merge when adapter.type is none",
        cel="!(self.output.merge && self.adapter.type == 'none')",
        holds=lambda spec, _old: not (spec["output"]["merge"] and spec["adapter"]["type"] == "none"),
    ),
    Rule(
        path="runtime.env",
        message=f"secrets do not belong into a manifest ({', '.join(SECRET_VARIABLES)}): put them into a Secret "
        "and name it in credentials.secretName",
        cel="self.all(v, !(v.name in [" + ", ".join(f"'{name}'" for name in SECRET_VARIABLES) + "]))",
        holds=_no_secret_variables,
        at="runtime.env",
    ),
]

_CHANGES: list[Rule] = [
    *(immutable(name, required) for name, required in required_fields(TrainingJobSpec).items() if name not in MUTABLE),
    immutable("scheduling.queue", required=True),
    immutable("scheduling.kueueQueue", required=False),
    Rule(
        path="cancel",
        message="cancel cannot be taken back",
        cel="!oldSelf.cancel || self.cancel",
        holds=lambda spec, old: not old["cancel"] or spec["cancel"],
        is_transition=True,
    ),
]

TRAINING_JOB_RULES: list[Rule] = [*_STRUCTURE, *_WEIGHTS, *_START_AND_OUTPUT, *_CHANGES]
