"""CustomResourceDefinitions of both kinds, made from their models and rules."""

from dataclasses import dataclass
from typing import Any

from fettle_schema.adapter import AdapterSpec, AdapterStatus
from fettle_schema.adapter_rules import ADAPTER_RULES
from fettle_schema.base import GROUP, LABEL_NAME_PATTERN, VERSION, Model
from fettle_schema.names import MAX_JOB_NAME
from fettle_schema.rules import Rule
from fettle_schema.status import TrainingJobStatus
from fettle_schema.structural import structural_schema
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.training_job_rules import TRAINING_JOB_RULES


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; those with `is_wide` show with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    is_wide: bool = False

    def manifest(self) -> dict[str, Any]:
        """The entry of additionalPrinterColumns."""
        wide = {"priority": 1} if self.is_wide else {}
        return {"name": self.name, "type": self.type, "jsonPath": self.path, **wide}


@dataclass(frozen=True)
class ResourceDefinition:
    """Everything that a CRD says about one kind."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    spec: type[Model]
    status: type[Model]
    rules: list[Rule]
    columns: tuple[Column, ...]
    selectable_fields: tuple[str, ...]

    def manifest(self) -> dict[str, Any]:
        """The CustomResourceDefinition."""
        spec = structural_schema(self.spec)
        for rule in self.rules:
            _field(spec, rule.at).setdefault("x-kubernetes-validations", []).append(rule.validation())
        schema = {
            "description": " ".join((self.spec.__doc__ or "").split()),
            "type": "object",
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "maxLength": MAX_JOB_NAME, "pattern": LABEL_NAME_PATTERN}
                    },
                },
                "spec": spec,
                "status": structural_schema(self.status),
            },
        }
        version = {
            "name": VERSION,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [column.manifest() for column in self.columns],
            "selectableFields": [{"jsonPath": path} for path in self.selectable_fields],
            "schema": {"openAPIV3Schema": schema},
        }
        names = {
            "kind": self.kind,
            "listKind": f"{self.kind}List",
            "plural": self.plural,
            "singular": self.kind.lower(),
            "shortNames": list(self.short_names),
            "categories": ["fettle"],
        }
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{GROUP}"},
            "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
        }


def _field(schema: dict[str, Any], path: str) -> dict[str, Any]:
    for name in path.split(".") if path else ():
        schema = schema["properties"][name]
    return schema


_AGE = Column("AGE", ".metadata.creationTimestamp", "date")

TRAINING_JOB = ResourceDefinition(
    kind="TrainingJob",
    plural="trainingjobs",
    short_names=("tj", "tjob"),
    spec=TrainingJobSpec,
    status=TrainingJobStatus,
    rules=TRAINING_JOB_RULES,
    columns=(
        Column("PHASE", ".status.phase"),
        Column("STEP", ".status.progress.summary"),
        Column("LOSS", ".status.progress.loss", "number"),
        Column("ETA", ".status.progress.eta"),
        Column("GPUS", ".status.resolved.gpus", "integer"),
        Column("RESTARTS", ".status.attempts.restarts", "integer"),
        _AGE,
        Column("METHOD", ".spec.method", is_wide=True),
        Column("MODEL", ".spec.baseModel.id", is_wide=True),
        Column("MODEL-PATH", ".spec.baseModel.path", is_wide=True),
        Column("QUEUE", ".spec.scheduling.queue", is_wide=True),
        Column("ADAPTER", ".status.adapter", is_wide=True),
        Column("REASON", ".status.reason", is_wide=True),
    ),
    selectable_fields=(".status.phase", ".spec.scheduling.queue", ".spec.method"),
)

ADAPTER = ResourceDefinition(
    kind="Adapter",
    plural="adapters",
    short_names=("adp",),
    spec=AdapterSpec,
    status=AdapterStatus,
    rules=ADAPTER_RULES,
    columns=(
        Column("PHASE", ".status.phase"),
        Column("BASE", ".spec.baseModel.id"),
        Column("RANK", ".status.rank", "integer"),
        Column("READY", ".status.readyPods"),
        Column("SIZE", ".status.sizeBytes", "integer"),
        Column("JOB", ".spec.source.trainingJob"),
        _AGE,
        Column("DIGEST", ".status.digest", is_wide=True),
        Column("PATH", ".status.path", is_wide=True),
        Column("REASON", ".status.reason", is_wide=True),
    ),
    selectable_fields=(".status.phase",),
)

DEFINITIONS = (TRAINING_JOB, ADAPTER)
