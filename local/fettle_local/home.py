"""Where things lie on one machine: `FETTLE_HOME` holds the store, the workspace and the directories of pods."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "FETTLE_HOME"
CACHE_VARIABLE = "FETTLE_CACHE"


@dataclass(frozen=True)
class Home:
    """One home; several live side by side and share nothing but the cache of downloaded models."""

    path: Path
    cache: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Home":
        """`$FETTLE_HOME` or ~/.fettle; `$FETTLE_CACHE` or ~/.cache/fettle."""
        path = Path(environment.get(HOME_VARIABLE) or "~/.fettle").expanduser()
        user_cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
        cache = Path(environment.get(CACHE_VARIABLE) or f"{user_cache}/fettle").expanduser()
        return cls(path.absolute(), cache.absolute())

    @property
    def store(self) -> Path:
        """SQLite file of all resources."""
        return self.path / "store.db"

    @property
    def workspace(self) -> Path:
        """The directory behind the workspace claim."""
        return self.path / "workspace"

    @property
    def pods(self) -> Path:
        """One directory for each pod: its log, its temporary volumes, its exit status."""
        return self.path / "pods"

    @property
    def engine_lock(self) -> Path:
        """Held by the engine of this home; holds its pid."""
        return self.path / "engine.lock"

    @property
    def serving(self) -> Path:
        """Of the serving engine that `fettle up` starts: its log, and the key for loading and unloading."""
        return self.path / "serving"

    @property
    def webhook_key(self) -> Path:
        """The key by which webhooks are signed; receivers need it."""
        return self.path / "webhook-key"

    def create(self) -> None:
        """Make the directories; safe to repeat."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.workspace.mkdir(exist_ok=True)
        self.pods.mkdir(exist_ok=True, mode=0o700)

    def pod_directory(self, name: str, uid: str) -> Path:
        """Directory of one pod."""
        return self.pods / f"{name}-{uid[:8]}"
