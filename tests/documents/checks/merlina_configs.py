"""Merlina's saved configurations."""

from tests.documents.document import Document, Expected

_NAME = "llama3-8b-default"
_INSIDE = "exports and imports are inside the data directory only (NOTES): the same call with a path there"
_FILE = "documents/config.json"


async def save_and_read(document: Document) -> None:
    """Saved, listed, read with and without metadata."""
    heading = "Save Configuration"
    await document.request(*document.pair(heading), document.at(heading, "Request Body"))
    await document.request(*document.pair("List Configurations"))
    get = document.at("Get Configuration")
    without, with_metadata = (
        document.at("Get Configuration", f"Response ({word} metadata)") for word in ("without", "with")
    )
    await document.request(get, Expected(like=without), replaced={"{name}": _NAME})
    replaced = {"{name}": _NAME, "include_metadata=false": "include_metadata=true"}
    await document.request(get, Expected(like=with_metadata), replaced=replaced)


async def files(document: Document) -> None:
    """The document's paths are not in the workspace, and refused; others are written and read."""
    export, expected = document.pair("Export Configuration")
    await document.request(export, Expected(400), document.at("Export Configuration", "Request Body"))
    body = document.part(document.at("Export Configuration", "Request Body"), "an export inside")
    await document.send(export, "POST /configs/export", expected, {**body, "output_path": _FILE})
    document.report.remark(export, _INSIDE)
    load, expected = document.pair("Import Configuration")
    await document.request(load, Expected(404), document.at("Import Configuration", "Request Body"))
    body = document.part(document.at("Import Configuration", "Request Body"), "an import inside")
    await document.send(load, "POST /configs/import", expected, {**body, "filepath": _FILE})
    document.report.remark(load, _INSIDE)


async def delete(document: Document) -> None:
    """At last."""
    await document.request(*document.pair("Delete Configuration"), replaced={"{name}": _NAME})


async def python(document: Document) -> None:
    """Its last call trains with a configuration that has no `output_name`."""
    sample, prints = document.at("Configuration Management"), ("'status': 'success'", r"^Found 1 configurations$")
    await document.python(sample, *prints, refused=("POST /train 422",))


CHECKS = (save_and_read, files, delete, python)
