"""Refusals of the engine: what the HTTP edge answers, without HTTP itself. Standard library only."""

from fettle_schema.errors import FettleError


class RequestError(FettleError):
    """A request that is refused; `status` and `kind` are those that vLLM answers with."""

    code = "RequestError"
    status = 400
    kind = "BadRequestError"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class NotFoundError(RequestError):
    """A model or an adapter that is not there."""

    code = "NotFound"
    status = 404
    kind = "NotFoundError"


class InvalidInputError(RequestError):
    """An adapter that this engine cannot or may not load."""

    code = "InvalidInput"
    kind = "InvalidUserInput"


class UnauthorizedError(RequestError):
    """An admin route without the right key."""

    code = "Unauthorized"
    status = 401
    kind = "AuthenticationError"


class QueueFullError(RequestError):
    """More requests than may wait."""

    code = "QueueFull"
    status = 429
    kind = "RateLimitError"


class StoppingError(RequestError):
    """The engine is going away."""

    code = "Stopping"
    status = 503
    kind = "ServiceUnavailableError"


class EngineError(RequestError):
    """A request that was accepted and could not be answered: the engine's own fault."""

    code = "EngineError"
    status = 500
    kind = "InternalServerError"
