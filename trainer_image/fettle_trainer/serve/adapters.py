"""The adapters that are served: names, paths, and who still uses what was unloaded.

An adapter that is replaced or unloaded disappears from the names at once; its weights stay until the last request
that began with it has ended. Loading and unloading drop no request.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from fettle_trainer.serve.errors import InvalidInputError, NotFoundError


@dataclass(eq=False)
class ServedAdapter:
    """One version of an adapter."""

    name: str
    path: str
    key: str
    """Unique among all versions that ever were."""
    created: int = field(default_factory=lambda: int(time.time()))
    users: int = 0
    is_retired: bool = False


class AdapterTable:
    """Names → adapters; any thread may call it. `detach` takes a version's weights out."""

    def __init__(self, base_names: list[str], max_count: int, detach: Callable[[str], None]) -> None:
        self._base_names = base_names
        self._max_count = max_count
        self._detach = detach
        self._served: dict[str, ServedAdapter] = {}
        self._versions = 0
        self._lock = Lock()

    def all(self) -> list[ServedAdapter]:
        """What is served, in the order of loading."""
        with self._lock:
            return list(self._served.values())

    def require_free(self, name: str, *, replaces: bool) -> None:
        """InvalidInputError (vLLM's words) if `name` cannot be loaded."""
        if not name:
            raise InvalidInputError("Both 'lora_name' and 'lora_path' must be provided.", "lora_name")
        if name in self._base_names:
            raise InvalidInputError(f"The name '{name}' is the base model's.", "lora_name")
        if name in self._served and not replaces:
            raise InvalidInputError(
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set "
                "'load_inplace' to True.",
                "lora_name",
            )
        if name not in self._served and len(self._served) >= self._max_count:
            raise InvalidInputError(
                f"{self._max_count} adapters are loaded, the most that --max-adapters allows; unload one first.",
                "lora_name",
            )

    def add(self, name: str, path: Path, attach: Callable[[str], None], *, replaces: bool) -> ServedAdapter:
        """Serve an adapter from now on; `attach` puts its weights in. An older version of the name is retired."""
        with self._lock:
            self.require_free(name, replaces=replaces)
            self._versions += 1
            adapter = ServedAdapter(name, str(path), f"{name}#{self._versions}")
            attach(adapter.key)
            older = self._served.get(name)
            self._served[name] = adapter
            if older is not None:
                self._retire(older)
            return adapter

    def remove(self, name: str) -> None:
        """Serve it to no new request; NotFoundError (vLLM's words) if it is not served."""
        with self._lock:
            adapter = self._served.pop(name, None)
            if adapter is None:
                raise NotFoundError(f"The lora adapter '{name}' cannot be found.", "lora_name")
            self._retire(adapter)

    def acquire(self, name: str, users: int) -> ServedAdapter | None:
        """The adapter of new requests, kept until each is released; None if there is none of that name."""
        with self._lock:
            adapter = self._served.get(name)
            if adapter is not None:
                adapter.users += users
            return adapter

    def release(self, adapter: ServedAdapter) -> None:
        """A request has ended; call it between two passes."""
        with self._lock:
            adapter.users -= 1
            if adapter.is_retired and adapter.users == 0:
                self._detach(adapter.key)

    def _retire(self, adapter: ServedAdapter) -> None:
        adapter.is_retired = True
        if adapter.users == 0:
            self._detach(adapter.key)
