"""Settings of the facade's process, read from `FETTLE_API_*` once in `__main__`; nothing else reads the environment."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fettle_schema.estimate.gpus import GPUS


class ApiSettings(BaseSettings):
    """One facade serves one namespace: the one whose claim it mounts."""

    model_config = SettingsConfigDict(env_prefix="FETTLE_API_", use_attribute_docstrings=True, extra="forbid")

    namespace: str = "default"
    """Namespace whose resources are served."""
    workspace: Path = Path("/workspace")
    """Where the namespace's claim is mounted."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Main port: every dialect below its prefix, the progress receiver, /healthz."""
    dialect_ports: dict[str, Annotated[int, Field(ge=0, le=65535)]] = {
        "ainode": 3000,
        "cluster": 23478,
        "qlora": 5001,
        "milady": 2138,
        "merlina": 8000,
    }
    """Port on which a dialect is served at the root, by dialect."""
    authentication: Literal["none", "apikey", "token"] = "none"
    """`none` is for loopback only; `apikey` wants the key as Bearer, X-API-Key or Basic password; `token` wants a token
    of the cluster in one of these places, whose owner needs the rights in Kubernetes."""
    api_key_file: Path | None = None
    """File that holds the key of `apikey`."""
    allowed_hosts: frozenset[str] = frozenset()
    """Host names besides loopback that `none` answers to."""
    allowed_origins: frozenset[str] = frozenset()
    """Origins of web pages, besides the facade's own, that may call it, for example `https://ui.example.com`."""
    allowed_outbound_hosts: frozenset[str] = frozenset()
    """Host names in URLs of callers that may lead to private addresses; all others must be on the internet."""
    model_aliases: dict[str, str] = {}
    """Model name in a request → hub id, or directory in the workspace. For all dialects."""
    dataset_aliases: dict[str, str] = {}
    """Dataset name in a request → hub id, or path in the workspace. For all dialects."""
    default_gpus: Annotated[int, Field(ge=0, le=64)] = 1
    """GPUs of each node where a dialect cannot ask for a number."""
    estimate_gpu: str = "a100-80"
    """GPU that jobs will run on, for estimates of time before one has run: a name of `fettle estimate --gpu`."""
    default_model: Annotated[str, Field(min_length=1, max_length=512)] = "llama-3.2-3b"
    """Base model of jobs whose dialect lets it be left out and names none itself; goes through `model_aliases`."""
    benchmark_wait_seconds: Annotated[float, Field(ge=0, le=60)] = 8.5
    """How long a call for scores waits for a benchmark that has just been started."""
    missing_gpu: Literal["error", "warning"] = "warning"
    """What a validation says where there is no GPU: a job without one trains on the CPU."""
    max_running_jobs: Annotated[int, Field(ge=1)] = 1
    """How many jobs the installation's default queue lets run at once, for answers that tell it."""
    credentials_secret_name: str | None = None
    """Secret of the installation for jobs whose request brings no secret of its own."""
    tracking_project: Annotated[str, Field(min_length=1, max_length=253)] = "fettle"
    """Project, or experiment, of jobs whose dialect names a tracking backend only."""
    webhook_key_file: Path | None = None
    """File that holds the key by which webhooks are signed: `whsec_` and 24 to 64 bytes in Base64."""
    engine_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Serving engine with vLLM's API, for example `http://127.0.0.1:8000`: what adapters are loaded into."""
    engine_key_file: Path | None = None
    """File that holds the engine's key."""
    engine_workspace: Path | None = None
    """Where the engine sees the workspace; where the facade does, if absent."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """Largest JSON body."""
    max_upload_size_mb: Annotated[
        int,
        Field(ge=1, validation_alias=AliasChoices("max_upload_size_mb", "FETTLE_API_MAX_UPLOAD_SIZE_MB")),
    ] = 500
    """Largest uploaded file, in units of 1024 × 1024 bytes; `MAX_UPLOAD_SIZE_MB` is read too."""
    preview_memory_bytes: Annotated[int, Field(ge=64 * 1024 * 1024)] = 1024 * 1024 * 1024
    """Address space of the process that reads rows for a preview."""
    preview_timeout_seconds: Annotated[float, Field(gt=0)] = 20.0
    """Longest time for a preview; half of it is the limit of its CPU time."""
    cache_timeout_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Longest wait of a writer for its own write, and of a reader for the first list."""
    progress_interval_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Shortest time between two ordinary writes of one job's progress."""

    @property
    def max_upload_bytes(self) -> int:
        """Largest uploaded file."""
        return self.max_upload_size_mb * 1024 * 1024

    @field_validator("estimate_gpu")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name.lower() not in GPUS:
            raise ValueError(f"must be one of {', '.join(GPUS)}")
        return name.lower()

    @field_validator("port", mode="before")
    @classmethod
    def _no_service_link(cls, value: object) -> object:
        """For a Service named `fettle-api`, Kubernetes sets FETTLE_API_PORT=tcp://… in every pod beside it."""
        return cls.model_fields["port"].default if isinstance(value, str) and value.startswith("tcp://") else value

    @model_validator(mode="after")
    def _authentication_is_possible(self) -> "ApiSettings":
        if self.authentication == "apikey" and self.api_key_file is None:
            raise ValueError("authentication 'apikey' needs api_key_file (FETTLE_API_API_KEY_FILE)")
        if self.authentication == "none" and not is_loopback(self.host):
            raise ValueError(
                f"authentication 'none' is for loopback only, but host is {self.host!r}; "
                "set FETTLE_API_HOST=127.0.0.1 or FETTLE_API_AUTHENTICATION=apikey"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether a host name or address, with or without brackets, is this machine. Nothing is looked up."""
    name = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
