# syntax=docker/dockerfile:1
# The gateway: HTTP in, jobs out. No PyTorch, no ONNX Runtime.
#   docker build -f docker/gateway.Dockerfile -t echocast-gateway .
# PYTHON_IMAGE may name a digest: python:3.12-slim@sha256:... (deploy/README.md, "Images by digest").
ARG PYTHON_IMAGE=python:3.12-slim

# GDAL, in the wheel of rasterio, needs libexpat of the system.
FROM ${PYTHON_IMAGE} AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/*

FROM base AS build
WORKDIR /src
RUN python -m venv /opt/echocast && python -m venv /opt/build
ENV PATH=/opt/echocast/bin:$PATH
COPY deploy/requirements deploy/requirements
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/build/bin/pip install --require-hashes -r deploy/requirements/build.txt \
    && pip install --require-hashes -r deploy/requirements/gateway.txt
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY service service
COPY workers workers
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip install --no-deps --no-index /wheels/*.whl

FROM base
RUN useradd --uid 10001 --create-home --home-dir /data echocast
COPY --from=build /opt/echocast /opt/echocast
ENV PATH=/opt/echocast/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ECHOCAST_DATA_DIR=/data \
    ECHOCAST_HOST=0.0.0.0 \
    ECHOCAST_PORT=8000
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Only that the process is up; load balancers should use /readyz, which checks that the service can serve.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["echocast"]
CMD ["serve"]
