"""Why there is no estimate. Pure."""

from fettle_schema.errors import FettleError


class EstimateError(FettleError):
    """Nothing can be computed from what was given; the message names what is missing."""

    code = "NoEstimate"


class MissingKeyError(EstimateError):
    """A model's configuration lacks a key."""

    code = "MissingKey"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"config.json has no {key!r} (a positive number); give the model's complete config.json")


class UnsupportedModelError(EstimateError):
    """A kind of model for which the formulas do not hold."""

    code = "UnsupportedModel"
