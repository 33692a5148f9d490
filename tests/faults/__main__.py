"""`python -m tests.faults SEED …`: play these runs again, on an API server of their own.

The exit code is 1 if one is not well. `--kubeconfig` plays them on an API server that is there; `--log` shows what
the operators had to say.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from fettle_client.kubernetes import connect
from tests.faults.run import Outcome, play_seeds, stage
from tests.support.api_server import api_server, install_crds

AT_ONCE = 10


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fettle-faults-")))
        kubeconfig = options.kubeconfig or stack.enter_context(api_server(folder / "cluster"))
        outcomes = asyncio.run(_play(kubeconfig, options.seeds, folder, options.at_once))
    for outcome in outcomes:
        print(outcome)
        if options.log:
            print(outcome.log)
    return int(any(outcome.problems for outcome in outcomes))


async def _play(kubeconfig: Path, seeds: list[int], folder: Path, at_once: int) -> list[Outcome]:
    client = await connect(str(kubeconfig))
    await install_crds(client)
    await client.close()
    async with stage(kubeconfig) as shared:
        return await play_seeds(shared, seeds, folder, at_once)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("seeds", nargs="+", type=int, metavar="SEED")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE")
    parser.add_argument("--log", action="store_true")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N")
    return parser


if __name__ == "__main__":
    sys.exit(main())
