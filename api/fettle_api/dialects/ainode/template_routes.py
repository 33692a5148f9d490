"""Templates, counters, estimates."""

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.ainode import translate, translate_results
from fettle_api.dialects.ainode.refusals import in_words_of_ainode
from fettle_api.dialects.ainode.templates import BUILT_IN, Template, filled, new_template, stored_template
from fettle_api.dialects.ainode.wire import (
    EstimateRequest,
    TemplateRequest,
    TrainingConfig,
    parse_config,
    parse_request,
)
from fettle_api.dialects.ainode.wire_answers import EstimateAnswer, StatsAnswer, TemplateAnswer, TemplatesAnswer
from fettle_api.errors import DocumentNotFoundError
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.documentation import documented

_PREFIX = "/api/training"


def add_templates(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """What jobs can name in `template_id`."""

    @router.get(f"{_PREFIX}/templates", **documented({200: TemplatesAnswer}))
    async def list_templates() -> Response:
        """The built-in templates, then the custom ones."""
        stored = [stored_template(document) for document in (await service.templates.all()).values()]
        templates = [*BUILT_IN.values(), *filter(None, stored)]
        return JSONResponse({"templates": [template.answer() for template in templates]})

    @router.post(f"{_PREFIX}/templates", **documented({201: TemplateAnswer}, (400, 409, 507), body=TemplateRequest))
    async def save_template(request: Request) -> Response:
        """Save a custom template."""
        with in_words_of_ainode():
            body = await read_object(request, settings.max_body_bytes)
            wanted = parse_request(TemplateRequest, body)
            if not wanted.name.strip():
                raise HTTPException(400, "name is required")
            template = new_template(wanted, secrets.token_hex(4))
        await service.templates.put(template.id, template.answer())
        return JSONResponse(template.answer(), 201)


def add_overview(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """What concerns no single job."""

    @router.get(f"{_PREFIX}/stats", **documented({200: StatsAnswer}))
    async def stats() -> Response:
        """Counters over all jobs."""
        return JSONResponse(translate_results.stats_of(await service.jobs.count()))

    @router.post(f"{_PREFIX}/estimate", **documented({200: EstimateAnswer}, (400,), body=TrainingConfig))
    async def estimate(request: Request) -> Response:
        """Memory and time of a job before it is submitted; creates nothing."""
        with in_words_of_ainode():
            body = await read_object(request, settings.max_body_bytes)
            template = await find_template(service, body)
            config = parse_config(filled(body, template), needs_dataset=False, is_known_template=template is not None)
            count = parse_request(EstimateRequest, body).sample_count
            spec = translate.spec_of_config(config, template)
        found = await service.estimates.estimate(config.base_model.strip(), spec, count)
        return JSONResponse(translate_results.estimate_of(found, config))


async def find_template(service: Service, body: Mapping[str, Any]) -> Template | None:
    """The template that a request names, if there is one of this id."""
    name = body.get("template_id")
    if not isinstance(name, str) or not name:
        return None
    if name in BUILT_IN:
        return BUILT_IN[name]
    try:
        return stored_template(await service.templates.get(name))
    except DocumentNotFoundError:
        return None
