"""Serves claims and GPUs until it is stopped: `python -m tests.cluster.provisioner HOME GPUS`.

A module of its own, that nothing imports, because it is a process of the cluster.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.cluster import storage
from tests.cluster.api_client import ApiClient
from tests.cluster.credentials import ADMIN, Credentials
from tests.cluster.processes import ClusterError

INTERVAL_SECONDS = 0.5


def main(home: Path, gpus: int) -> None:
    """Looks for work twice a second: a watch would save nothing that a test notices."""
    credentials = Credentials(home)
    api = ApiClient(credentials.kubeconfig(ADMIN), credentials.authority)
    while True:
        try:
            storage.bind_claims(api, home)
            storage.remove_released(api)
            if gpus:
                storage.offer_gpus(api, gpus)
        except ClusterError as error:
            # One claim that the API server refuses must not end the service for all the others.
            print(error, file=sys.stderr, flush=True)
        time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
