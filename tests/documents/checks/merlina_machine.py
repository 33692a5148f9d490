"""What Merlina tells of itself, of GPUs, of models and of errors."""

from tests.documents.document import Document, Expected, until

_GPUS = ("List All GPUs", "Get GPU Information", "Get Available GPUs", "Get Recommended GPU")
_BROKEN = {"output_name": "broken", "base_model": "./models/missing", "dataset": {"source": {"source_type": "upload"}}}


async def overview(document: Document) -> None:
    """Without a job."""
    document.starts_their_server(document.at("Base URL & Configuration"), "their .env")
    await document.request(*document.pair("Get API Information"))
    await document.request(*document.pair("Get System Statistics"))


async def no_gpu(document: Document) -> None:
    """As the machine is."""
    example = document.at("List All GPUs", "Response (No CUDA)")
    await document.request(document.at("List All GPUs"), Expected(like=example))
    example = document.at("GPU Not Available (404)")
    await document.send(example, "GET /gpu/0", Expected(404, like=example, exactly=True))


async def gpus(document: Document) -> None:
    """With a driver's tool that tells of two."""
    document.machine.show_gpus(True)
    await until(document, "GET /gpu/list", "status", ["success"])
    for heading in _GPUS:
        replaced = {"{index}": "0"} if heading == "Get GPU Information" else None
        await document.request(*document.pair(heading), replaced=replaced)
    incomplete = ("POST /train 422",)  # it has no output_name: the sample leaves that to its reader
    selection = document.at("GPU Selection")
    await document.python(selection, r"^Using GPU [01]: NVIDIA GeForce RTX 4090$", refused=incomplete)
    document.machine.show_gpus(False)
    await until(document, "GET /gpu/list", "status", ["no_cuda"])


async def models(document: Document) -> None:
    """The tokenizer of the model that an alias leads to."""
    heading = "Preload Model Tokenizer"
    await document.request(*document.pair(heading), document.at(heading, "Request Body"))
    await document.request(*document.pair("List Cached Models"))


async def errors(document: Document) -> None:
    """Each is provoked."""
    example = document.at("Validation Failed (400)")
    await document.send(example, "POST /train", Expected(400, like=example), _BROKEN)
    exactly = {"Job Not Found (404)": "/status/none", "Configuration Not Found (404)": "/configs/my-config"}
    for heading, path in exactly.items():
        example = document.at(heading)
        await document.send(example, f"GET {path}", Expected(404, like=example, exactly=True))
    example = document.at("Error Response Format")
    await document.send(example, "GET /jobs/none/metrics", Expected(404, like=example))


CHECKS = (overview, no_gpu, gpus, models, errors)
