"""An OpenAPI document as one HTML page: no script, no network, readable in a terminal's browser. Pure."""

from typing import Any

from jinja2 import Environment
from markupsafe import Markup

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ info.title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
code, pre { font: 14px/1.4 ui-monospace, monospace; background: #f3f4f6; border-radius: 4px; padding: .1em .3em }
pre { padding: .8em; overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
th, td { text-align: left; vertical-align: top; border-top: 1px solid #d9dce1; padding: .25rem .6rem .25rem 0 }
details { border: 1px solid #d9dce1; border-radius: 6px; margin: .6rem 0; padding: .4rem .8rem }
summary { cursor: pointer }
</style></head><body>
<h1>{{ info.title }} <small>{{ info.version }}</small></h1>
<p>The document for programs: <a href="{{ openapi_url }}"><code>{{ openapi_url }}</code></a></p>
{% for path, operations in paths.items() %}{% for method, operation in operations.items() %}
<details id="{{ operation.operationId }}"><summary><code>{{ method | upper }} {{ path }}</code>
{{ operation.description or operation.summary }}</summary>
{% if operation.parameters %}<table><tr><th>parameter</th><th>in</th><th>type</th></tr>
{% for parameter in operation.parameters %}<tr><td><code>{{ parameter.name }}</code>{{ " *" if parameter.required }}
</td><td>{{ parameter["in"] }}</td><td>{{ kind(parameter.schema) }}</td></tr>{% endfor %}</table>{% endif %}
{% if operation.requestBody %}{% for media, content in operation.requestBody.content.items() %}
<p>Body: <code>{{ media }}</code></p>{{ fields(content.schema) }}{% endfor %}{% endif %}
<table><tr><th>status</th><th></th></tr>{% for status, response in operation.responses.items() %}
<tr><td><code>{{ status }}</code></td><td>{{ response.description }}
{% for content in (response.content or {}).values() %}{{ link(content.schema) }}{% endfor %}</td></tr>
{% endfor %}</table></details>{% endfor %}{% endfor %}
<h2>Objects</h2>
{% for name, schema in schemas.items() %}<h3 id="{{ name }}">{{ name }}</h3>
<p>{{ schema.description or "" }}</p>{{ fields(schema) }}{% endfor %}
</body></html>
"""

_FIELDS = """{% if schema.properties %}<table><tr><th>field</th><th>type</th><th>default</th><th></th></tr>
{% for name, field in schema.properties.items() %}<tr>
<td><code>{{ name }}</code>{{ " *" if name in (schema.required or []) }}</td><td>{{ kind(field) }}</td>
<td>{% if field.default is defined and field.default is not none %}<code>{{ field.default }}</code>{% endif %}</td>
<td>{{ field.description or "" }}</td></tr>{% endfor %}</table>{% endif %}"""

_LINK = """{% if name %}<a href="#{{ name }}"><code>{{ name }}</code></a>{% endif %}"""


def render_page(document: dict[str, Any], openapi_url: str) -> str:
    """The page; everything in the document is escaped."""
    environment = Environment(autoescape=True)
    fields, link = environment.from_string(_FIELDS), environment.from_string(_LINK)

    def render_fields(schema: dict[str, Any]) -> Markup:
        return Markup(fields.render(schema=schema, kind=_kind))

    def render_link(schema: dict[str, Any]) -> Markup:
        return Markup(link.render(name=schema.get("$ref", "").rpartition("/")[2]))

    return environment.from_string(_TEMPLATE).render(
        info=document["info"],
        paths=document["paths"],
        schemas=document.get("components", {}).get("schemas", {}),
        openapi_url=openapi_url,
        kind=_kind,
        fields=render_fields,
        link=render_link,
    )


def _kind(schema: dict[str, Any]) -> str:
    """The type of a value in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(choice) for choice in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(repr(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *bounds])
