"""Merlina's datasets: previews, columns, uploads, and each kind of source and format."""

import shutil

from tests.documents.document import Document, Expected

_SCHEMA = "DatasetConfig"
_UPLOAD = "upload_20250116_143022_a1b2c3d4"


async def previews(document: Document) -> None:
    """Rows raw and formatted."""
    raw = "Preview Dataset (Raw)"
    body = document.at(raw, "Request Body")
    await document.request(*document.pair(raw), body)
    await document.request(*document.pair("Preview Dataset (Formatted)"), body)  # "Same as /dataset/preview"
    columns = "Get Dataset Columns"
    await document.request(*document.pair(columns), document.at(columns, "Request Body"))


async def uploads(document: Document) -> None:
    """The section has the request twice: as a line, which has no body there, and as curl."""
    line, expected = document.pair("Upload Dataset File")
    curl = document.at("Upload Dataset File", "Example with cURL")
    (answer,) = await document.bash(curl, expected)
    document.report.use(line, "sent by the section's curl")
    if not answer.url.endswith(line.text.strip().partition(" ")[2]):
        document.report.differ(line, f"is not what curl calls: {answer.url}")
    await document.request(*document.pair("List Uploaded Datasets"))


async def sources(document: Document) -> None:
    """Each kind of source shows rows; so does the whole schema."""
    workspace = document.machine.home.workspace
    (workspace / "uploads" / _UPLOAD).mkdir(parents=True)
    shutil.copy(workspace / "datasets/pairs/train.jsonl", workspace / "uploads" / _UPLOAD / "data.jsonl")
    preview = "POST /dataset/preview"
    like = Expected(like=document.at("Preview Dataset (Raw)", "Response"))
    await document.body(document.at(_SCHEMA), preview, like)
    for label in ("1. HuggingFace", "2. Local File", "3. Uploaded"):
        sample = document.at(_SCHEMA, label)
        await document.send(sample, preview, like, {"source": document.part(sample, preview)})


async def custom_format(document: Document) -> None:
    """The pieces of the template are in the prompt."""
    sample, source = document.at(_SCHEMA, "Custom Format Example"), document.at(_SCHEMA, "1. HuggingFace")
    preview = "POST /dataset/preview-formatted"
    body = {"source": document.part(source, preview), "format": document.part(sample, preview)}
    like = Expected(like=document.at("Preview Dataset (Formatted)", "Response"))
    shown = await document.send(sample, preview, like, body)
    prefix = body["format"]["custom_templates"]["user_prefix"]
    if prefix not in shown["samples"][0]["prompt"]:
        document.report.differ(sample, f"{prefix!r} is not in {shown['samples'][0]['prompt']!r}")


CHECKS = (previews, uploads, sources, custom_format)
