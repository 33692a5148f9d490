"""`python -m fettle_api`: the facade as a process of a cluster. Reads the environment, wires the parts, waits."""

import asyncio
import json
import logging
import signal
import sys
from datetime import UTC, datetime

from pydantic import ValidationError

from fettle_api.app import create_app
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.logs import FirstOf, PodLogs, WorkspaceLogs
from fettle_api.server import Servers
from fettle_api.settings import ApiSettings
from fettle_client.garbage import collect_rarely
from fettle_client.kubernetes import connect
from fettle_schema.errors import FettleError

_logger = logging.getLogger("fettle_api")
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields that the call names."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


async def run(settings: ApiSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await connect(user_agent="fettle-api")
    try:
        logs = FirstOf(WorkspaceLogs(Workspace(settings.workspace)), PodLogs(client, client, settings.namespace))
        servers = Servers(create_app(settings, client, settings.workspace, logs), settings)
        await servers.start()
        _logger.info("serving", extra={"namespace": settings.namespace, "ports": servers.ports})
        await stop.wait()
        await servers.stop()
    finally:
        await client.close()


def main() -> None:
    """The process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    collect_rarely()
    try:
        asyncio.run(run(ApiSettings()))
    except (ValidationError, FettleError, OSError) as error:
        sys.exit(f"fettle-api: {error}")


if __name__ == "__main__":
    main()
