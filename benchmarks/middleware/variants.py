"""The sample service with the middleware that STACK names: none, ours, all in one layer, or parts of the tutorials'."""

import os

from fused import Empty, Fused
from redis.asyncio import Redis
from shop.main import app
from starlette.middleware import Middleware
from tutorial import MIDDLEWARE

stack = os.environ["STACK"]
if stack != "ours":
    app.state.redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost"), max_connections=1000)
    app.user_middleware = [
        Middleware({**MIDDLEWARE, "fused": Fused, "empty": Empty}[name]) for name in stack.split() if name != "none"
    ]
