# The dialer's image: worker, beat and callbacks. It holds no bot (bot/Dockerfile has its own image), no sandbox, no evals, no
# tests. The stage `rehearsal` adds bot and sandbox, for `docker compose run --rm rehearsal` and nothing else.
# tests/test_deployment.py runs the lines of both without Docker.
FROM python:3.11-slim AS common
WORKDIR /app
RUN pip install --no-cache-dir uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy PATH="/app/.venv/bin:$PATH"
COPY pyproject.toml uv.lock README.md LICENSE celeryconfig.py ./
RUN uv sync --locked --no-install-project --no-default-groups
COPY campaigns ./campaigns
COPY worker ./worker

FROM common AS rehearsal
COPY bot ./bot
COPY sandbox ./sandbox
RUN uv sync --locked --no-default-groups --extra rehearsal
USER nobody

# The last stage is the one that `docker build .` makes.
FROM common AS dialer
RUN uv sync --locked --no-default-groups
USER nobody
