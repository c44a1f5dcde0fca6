"""The application of the benchmark: a small JSON object, and nothing that takes time."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def root() -> dict[str, str]:
    """What every variant is asked for."""
    return {"message": "hello"}
