"""Comparing what two jobs have come to."""

import hashlib

from tests.e2e.installation import Installation


def weights(installation: Installation, job: str) -> str:
    """The digest of the adapter's weights: other files name the job."""
    path = installation.workspace / installation.status(job)["output"]["path"] / "adapter_model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()
