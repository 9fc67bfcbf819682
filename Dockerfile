# One image for API and worker, on CPU:    docker build .
# With CUDA, by the name of PyTorch's build: docker build --build-arg TORCH_BACKEND=cu130 .
# Any image with Python 3.11 or newer, its venv and Debian's or Ubuntu's useradd can be the base.
ARG BASE_IMAGE=python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS build
# cpu, cu126, cu130, ...: which of PyTorch's own builds; uv knows where they are. Empty: the one that pip takes.
ARG TORCH_BACKEND=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/driftline
ENV PATH=/opt/driftline/bin:$PATH
WORKDIR /src
COPY requirements.lock ./
RUN if [ -n "$TORCH_BACKEND" ]; then \
      pip install uv==0.13.9 \
      && uv pip install --no-cache --python /opt/driftline/bin/python --torch-backend="$TORCH_BACKEND" -r requirements.lock; \
    else \
      pip install -r requirements.lock; \
    fi
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY driftline driftline
COPY examples examples
COPY migrations migrations
COPY simulator simulator
COPY worker worker
RUN pip install --no-deps .

FROM ${BASE_IMAGE}
RUN useradd --create-home --uid 10001 driftline && mkdir /data && chown driftline /data
COPY --from=build /opt/driftline /opt/driftline
ENV PATH=/opt/driftline/bin:$PATH PYTHONUNBUFFERED=1 DRIFTLINE_DATA_DIR=/data DRIFTLINE_HOST=0.0.0.0
USER 10001
WORKDIR /home/driftline
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "app", "--host", "0.0.0.0", "--port", "8000"]
