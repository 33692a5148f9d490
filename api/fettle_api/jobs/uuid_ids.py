"""Ids of dialects whose jobs are named by a UUID, and the resources' names that belong to them. Pure.

A name begins with a letter, so an id that begins with a digit gets a `j` in front. A job that was made elsewhere has
its name as id.
"""

import re
import uuid

from fettle_api.errors import JobNotFoundError
from fettle_api.web.idempotency import Identity
from fettle_schema.base import LABEL_NAME_PATTERN
from fettle_schema.names import MAX_JOB_NAME

_PREFIXED = re.compile(r"j[0-9][0-9a-f]{7}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_id(identity: Identity) -> str:
    """A UUID of version 4."""
    return str(uuid.UUID(hex=identity.digits[:32], version=4))


def name_of_id(job_id: str) -> str | None:
    """The resource's name; None for what can be no id."""
    name = f"j{job_id}" if job_id[:1].isdigit() else job_id
    return name if len(name) <= MAX_JOB_NAME and re.fullmatch(LABEL_NAME_PATTERN, name) else None


def id_of_name(name: str) -> str:
    """The id of any job; `name_of_id` finds the job again."""
    return name[1:] if _PREFIXED.fullmatch(name) else name


def resource_name(job_id: str) -> str:
    """The job's resource. Raises JobNotFoundError for what can be no id."""
    name = name_of_id(job_id)
    if name is None:
        raise JobNotFoundError(job_id)
    return name
