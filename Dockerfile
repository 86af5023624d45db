# One small image for API, worker and migrations; a second target adds the simulated providers.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /venv
COPY constraints.txt ./
# The list of pinned packages changes rarely: installed first, it stays in the layer cache.
COPY pyproject.toml README.md settings.py composition.py worker.py ./
COPY activities activities
COPY adapters adapters
COPY api api
COPY bench bench
COPY catalog catalog
COPY cli cli
COPY domain domain
COPY embedded embedded
COPY sandbox sandbox
COPY store store
COPY workflows workflows
RUN /venv/bin/pip install --no-cache-dir --prefer-binary -c constraints.txt .

FROM build AS build-sandbox
RUN /venv/bin/pip install --no-cache-dir --prefer-binary -c constraints.txt av pillow

FROM python:3.11-slim AS base
RUN useradd --system --uid 10001 --home-dir /data --create-home babysea
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /data
USER babysea

FROM base AS sandbox
COPY --from=build-sandbox /venv /venv
EXPOSE 8090
CMD ["python", "-m", "sandbox", "--host", "0.0.0.0", "--port", "8090", "--data", "/data/sandbox.db"]

# Last, so that a plain `docker build .` makes this one.
FROM base AS runtime
COPY --from=build /venv /venv
# Where `babysea api` binds: inside a container, loopback would be reachable by nobody.
ENV BABYSEA_API_HOST=0.0.0.0 BABYSEA_API_PORT=8080
EXPOSE 8080
CMD ["babysea", "api"]
