"""The app of the reader: notes in PostgreSQL."""

import os

import psycopg
from fastapi import FastAPI

VERSION = "1.4.0"
app = FastAPI()


@app.get("/")
def home():
    return {"app": "shop", "version": VERSION, "key": len(os.environ["SECRET_KEY"])}


@app.get("/readyz")
def readyz():
    with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=2) as connection:
        return {"notes": connection.execute("SELECT count(*) FROM notes").fetchone()[0]}
