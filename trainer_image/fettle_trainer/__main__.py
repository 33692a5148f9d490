"""Entry point of a run: `python -m fettle_trainer RUN_JSON`."""

import os
import sys

from fettle_trainer.supervisor import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
