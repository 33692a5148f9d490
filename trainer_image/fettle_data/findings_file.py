"""All findings in a file, one JSON object a line: what `Findings` lists in part, in whole."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from fettle_data.findings import LISTED_FINDINGS, Finding


class FindingsFile:
    """Writes findings as they are reported. Bounded by nothing but the disk.

    A file of the same name is replaced. The first findings are on the disk at once, later ones when it is flushed or
    closed.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._stream = path.open("w", encoding="utf-8")

    def report(self, finding: Finding) -> None:
        """Write one finding; to be given to `prepare`."""
        self._stream.write(json.dumps(finding.to_json(), ensure_ascii=False) + "\n")
        self.count += 1
        if self.count <= LISTED_FINDINGS:
            self.flush()

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Write what is left. May be called twice."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
