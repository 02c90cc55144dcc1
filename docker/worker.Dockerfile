# syntax=docker/dockerfile:1
# A worker (and the scheduler: `echocast beat`), on the CPU or on an NVIDIA GPU.
#   docker build -f docker/worker.Dockerfile -t echocast-worker .
#   docker build -f docker/worker.Dockerfile --build-arg DEVICE=gpu -t echocast-worker:gpu .
ARG DEVICE=cpu
ARG PYTHON=3.12
ARG CUDA=13.0.1

FROM python:${PYTHON}-slim AS base-cpu
ENV EXTRA=cpu

# onnxruntime-gpu 1.31 is built for CUDA 13 and cuDNN 9. Ubuntu 24.04 brings Python 3.12.
FROM nvidia/cuda:${CUDA}-cudnn-runtime-ubuntu24.04 AS base-gpu
ENV EXTRA=gpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

FROM base-${DEVICE} AS build
WORKDIR /src
RUN python3 -m venv /opt/echocast
ENV PATH=/opt/echocast/bin:$PATH
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY model model
COPY service service
COPY workers workers
# The GPU wheel has the same version as the CPU wheel that constraints.txt pins.
RUN --mount=type=cache,target=/root/.cache/pip \
    sed -n 's/^onnxruntime==/onnxruntime-gpu==/p' constraints.txt >> constraints.txt \
    && pip install --no-compile -c constraints.txt ".[${EXTRA},grib,geotiff,postgres]"

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
