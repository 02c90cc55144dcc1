# syntax=docker/dockerfile:1
# A worker (and the scheduler: `echocast beat`), on the CPU or on an NVIDIA GPU.
#   docker build -f docker/worker.Dockerfile -t echocast-worker .
#   docker build -f docker/worker.Dockerfile --build-arg DEVICE=gpu -t echocast-worker:gpu .
# PYTHON_IMAGE and CUDA_IMAGE may name digests (deploy/README.md, "Images by digest").
ARG DEVICE=cpu
ARG PYTHON_IMAGE=python:3.12-slim
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04

# GDAL, in the wheel of rasterio, needs libexpat of the system.
FROM ${PYTHON_IMAGE} AS base-cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/*

# onnxruntime-gpu 1.31 is built for CUDA 13 and cuDNN 9. Ubuntu 24.04 brings Python 3.12.
FROM ${CUDA_IMAGE} AS base-gpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends libexpat1 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

FROM base-${DEVICE} AS build
ARG DEVICE
WORKDIR /src
RUN python3 -m venv /opt/echocast && python3 -m venv /opt/build
ENV PATH=/opt/echocast/bin:$PATH
COPY deploy/requirements deploy/requirements
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/build/bin/pip install --require-hashes -r deploy/requirements/build.txt \
    && pip install --require-hashes -r deploy/requirements/worker-${DEVICE}.txt
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY service service
COPY workers workers
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip install --no-deps --no-index /wheels/*.whl

FROM base-${DEVICE}
RUN useradd --uid 10001 --create-home --home-dir /data echocast
COPY --from=build /opt/echocast /opt/echocast
COPY docker/healthcheck.py /opt/echocast/healthcheck.py
ENV PATH=/opt/echocast/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ECHOCAST_DATA_DIR=/data
USER 10001
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python3", "/opt/echocast/healthcheck.py", "worker"]
ENTRYPOINT ["echocast"]
CMD ["worker"]
