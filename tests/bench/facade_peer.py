"""`python -m tests.bench.facade_peer PORT DIRECTORY`: how one would write an upload with FastAPI and nothing else."""

import os
import shutil
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, UploadFile


def build_app(directory: Path) -> FastAPI:
    """`POST /upload` keeps the file; the framework has put it into a temporary one before."""
    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/upload")
    def upload(file: UploadFile) -> dict[str, int]:
        with (directory / "upload.jsonl").open("wb") as target:
            shutil.copyfileobj(file.file, target, 1024 * 1024)
            target.flush()
            os.fsync(target.fileno())
            return {"size_bytes": target.tell()}

    return app


if __name__ == "__main__":
    uvicorn.run(build_app(Path(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
