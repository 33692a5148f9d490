"""Who sends: the holder of one Lease. Two for a moment do no harm, because a message may come twice."""

import logging
import time
from collections.abc import Callable

from fettle_client.lease import LeaseHolder
from fettle_client.protocol import AlreadyExistsError, ApiError, ConflictError, NotFoundError, ResourceClient
from fettle_schema.names import LABEL_MANAGED_BY, MANAGED_BY

LEASE_NAME = "fettle-webhooks"
DURATION_SECONDS = 30

_logger = logging.getLogger(__name__)


class SenderLease:
    """One facade's view of the Lease."""

    def __init__(
        self,
        client: ResourceClient,
        namespace: str,
        identity: str,
        duration_seconds: float = DURATION_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        labels = {LABEL_MANAGED_BY: MANAGED_BY}
        self._holder = LeaseHolder(client, namespace, LEASE_NAME, identity, duration_seconds, monotonic, labels)
        self._may_be_held = False
        """Also while the answer to a request is not known: whoever is stopped in the middle still lets go."""

    async def hold(self) -> bool:
        """Take or renew; False while another facade sends, or the API server cannot be asked."""
        self._may_be_held = True
        try:
            self._may_be_held = is_held = await self._holder.take_or_renew()
        except (ConflictError, AlreadyExistsError, NotFoundError):
            self._may_be_held = is_held = False
        except ApiError as error:
            _logger.warning("lease of the webhooks not renewed", extra={"code": error.code})
            is_held = False
        return is_held

    async def release(self) -> None:
        """Let another facade send at once; nothing to do if we do not."""
        if not self._may_be_held:
            return
        try:
            await self._holder.release()
        except ApiError as error:
            _logger.warning("lease of the webhooks not released", extra={"code": error.code})
        self._may_be_held = False
