# The dialer's image: worker, beat and callbacks. The bot has its own (bot/Dockerfile).
FROM python:3.11-slim
WORKDIR /app
RUN pip install --no-cache-dir uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy PATH="/app/.venv/bin:$PATH"
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-install-project --no-default-groups --group worker --group sandbox
COPY campaigns ./campaigns
COPY worker ./worker
COPY sandbox ./sandbox
COPY celeryconfig.py ./
RUN uv sync --locked --no-default-groups --group worker --group sandbox
USER nobody
