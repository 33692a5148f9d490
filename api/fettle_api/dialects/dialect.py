"""What a dialect is to the application: a name, routes, and the shape of its errors."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter
from pydantic import BaseModel

from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.guards import ErrorRenderer


@dataclass(frozen=True)
class Dialect:
    """One published REST surface."""

    name: str
    """Prefix on the main port, unless `prefix` is another, and key of `dialect_ports`."""
    build_router: Callable[[Service, ApiSettings], APIRouter]
    """The routes, as they stand at the root of the dialect's own port."""
    render_error: ErrorRenderer
    """How every error looks, also those of routing and authentication."""
    error_model: type[BaseModel]
    """The same for the OpenAPI document."""
    title: str
    """Of the OpenAPI document and its page."""
    openapi_path: str = "/openapi.json"
    """Where the document is."""
    page_paths: tuple[str, ...] = ("/docs",)
    """Where the page is; it needs no network."""
    prefix: str | None = None
    """For an API that lives on the main port alone: where it is there instead of `/<name>`."""

    @property
    def mount_path(self) -> str:
        """Where it is on the main port."""
        return self.prefix or f"/{self.name}"
