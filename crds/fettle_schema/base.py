"""What every model of the contract has in common: camelCase on the wire, no unknown fields, bounded values."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from fettle_schema.names import GROUP as GROUP  # there, so that the names can be had without pydantic

VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_PATH_COMPONENT = r"[A-Za-z0-9_-][A-Za-z0-9._@+=-]*"
WORKSPACE_PATH_PATTERN = rf"^{_PATH_COMPONENT}(/{_PATH_COMPONENT})*$"
HUB_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"
LABEL_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

WorkspacePath = Annotated[str, Field(min_length=1, max_length=512, pattern=WORKSPACE_PATH_PATTERN)]
"""A path inside the workspace: relative, and no component starts with a dot."""
HubId = Annotated[str, Field(min_length=1, max_length=200, pattern=HUB_ID_PATTERN)]
"""An id on the Hugging Face hub: `name` or `owner/name`."""
ResourceName = Annotated[str, Field(min_length=1, max_length=52, pattern=LABEL_NAME_PATTERN)]
"""A DNS-1035 label of at most 52 characters, so that names of children fit into 63."""
ShortText = Annotated[str, Field(max_length=253)]
Text = Annotated[str, Field(max_length=4096)]
Revision = Annotated[str, Field(min_length=1, max_length=253)]


class Model(BaseModel):
    """One object of the contract. `null` for a field with a default means the default, as the API server reads it."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, value: Any) -> Any:
        if not isinstance(value, dict) or None not in value.values():
            return value
        kept = dict(value)
        for name, field in cls.model_fields.items():
            for key in (name, field.alias or name):
                if key in kept and kept[key] is None and not field.is_required() and field.get_default() is not None:
                    del kept[key]
        return kept

    def manifest(self) -> dict[str, Any]:
        """The object as JSON values in camelCase, without fields that are null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
