"""/healthz, /livez and /metrics over HTTP. Reports; decides nothing."""

from collections.abc import Callable

from aiohttp import web

from fettle_operator.metrics import Metrics


class HealthServer:
    """`is_ready` is asked at each request: standing by, or leading with everything listed once."""

    def __init__(self, metrics: Metrics, is_ready: Callable[[], bool], role: Callable[[], str]) -> None:
        self._metrics, self._is_ready, self._role = metrics, is_ready, role
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen; returns the port."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/livez", self._livez),
                web.get("/metrics", self._text),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        is_ready = self._is_ready()
        content = {"status": "ok" if is_ready else "starting", "role": self._role()}
        return web.json_response(content, status=200 if is_ready else 503)

    async def _livez(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _text(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), content_type="text/plain", charset="utf-8")
