"""Rules of an Adapter."""

from fettle_schema.rules import Rule, exactly_one, immutable, present

ADAPTER_RULES: list[Rule] = [
    exactly_one("source", ("trainingJob", "workspace", "huggingFace")),
    immutable("baseModel", required=True),
    Rule(
        path="digest",
        message="digest changes only together with source",
        cel="self.source != oldSelf.source || !has(oldSelf.digest) || "
        "(has(self.digest) && self.digest == oldSelf.digest)",
        holds=lambda spec, old: (
            spec["source"] != old["source"]
            or present(old, "digest") is None
            or present(spec, "digest") == present(old, "digest")
        ),
        is_transition=True,
    ),
]
