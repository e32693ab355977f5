# One file for CPU and GPU, for a single container and for KubeRay's head and workers; docs/kubernetes.md says how to
# build each. BASE is any Debian or Ubuntu with Python 3.11 or newer, or one without Python whose own packages bring it.
ARG BASE=python:3.11-slim-bookworm
# `default` bakes in the embedded models that are served by default; `none` leaves them to the first start.
ARG EMBEDDED=none

FROM ${BASE} AS base
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# No versions: they belong to BASE, which is pinned by its digest where that matters.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && { python3 -c 'import ensurepip' || apt-get install --yes --no-install-recommends python3 python3-venv; } \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 serve \
    && useradd --uid 10001 --gid serve --no-create-home serve

FROM base AS build
# pip's own settings: where a CPU build of torch or a mirror is to be found. Nothing of them stays in the image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ENV PATH=/opt/automodel-serve/bin:${PATH}
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# What the project needs, without the project: it changes more often. torch goes first, as in the Makefile.
RUN python3 -m venv /opt/automodel-serve \
    && python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > needed.txt \
    && pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt torch \
    && pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt --requirement needed.txt
COPY README.md LICENSE ./
COPY deployments deployments
COPY serve serve
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps .

# The same without torch, and without what requires it (the voice activity of long speech, whose model runs in torch): for
# configurations whose builds are brought along (docs/compute.md).
FROM base AS build-slim
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ENV PATH=/opt/automodel-serve/bin:${PATH}
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN python3 -m venv /opt/automodel-serve \
    && python -c 'import tomllib; print(*(name for name in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if not name.startswith(("torch", "silero-vad"))), sep="\n")' > needed.txt \
    && pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt --requirement needed.txt
COPY README.md LICENSE ./
COPY deployments deployments
COPY serve serve
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM build AS models-none
RUN mkdir -p /var/cache/automodel-serve

FROM build AS models-default
RUN AUTOMODEL_SERVE_CACHE=/var/cache/automodel-serve automodel-serve build

# hadolint ignore=DL3006
FROM models-${EMBEDDED} AS models

FROM base AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="automodel-serve" \
      org.opencontainers.image.description="Every Hugging Face AutoModel task class as a Ray Serve deployment" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The root file system may be read-only: what is written goes to /tmp (Ray keeps its token in HOME), and what is
# downloaded to the two folders below. NVIDIA's container runtime reads the last two.
ENV PATH=/opt/automodel-serve/bin:${PATH} \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AUTOMODEL_SERVE_CACHE=/var/cache/automodel-serve \
    RAY_SERVE_HAPROXY_BINARY_PATH=/opt/automodel-serve/bin/automodel-haproxy \
    HF_HOME=/models/huggingface \
    RAY_USAGE_STATS_ENABLED=0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN install --directory --owner=serve --group=serve /models
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=10m --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=8)"]
# tini takes up the processes that HAProxy leaves behind when it is reloaded. KubeRay puts its own command here.
ENTRYPOINT ["tini", "--", "automodel-serve"]
CMD ["up", "--host", "0.0.0.0", "--port", "8000"]

FROM runtime AS slim
ENV TRANSFORMERS_NO_ADVISORY_WARNINGS=1
COPY --from=build-slim /opt/automodel-serve /opt/automodel-serve
COPY --from=models --chown=10001:10001 /var/cache/automodel-serve /var/cache/automodel-serve

FROM runtime
COPY --from=build /opt/automodel-serve /opt/automodel-serve
COPY --from=models --chown=10001:10001 /var/cache/automodel-serve /var/cache/automodel-serve
