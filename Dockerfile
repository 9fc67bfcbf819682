# syntax=docker/dockerfile:1
# One image for API and worker, on CPU:    docker build .
# With CUDA, by the name of PyTorch's build: docker build --build-arg TORCH_BACKEND=cu130 .
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
# cpu, cu126, cu130, ...: which of PyTorch's own builds; uv knows where they are.
ARG TORCH_BACKEND=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/driftline
ENV PATH=/opt/driftline/bin:$PATH
WORKDIR /src
COPY requirements.lock ./
RUN pip install uv==0.13.9 \
    && uv pip install --no-cache --python /opt/driftline/bin/python --torch-backend="$TORCH_BACKEND" -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY driftline driftline
COPY examples examples
COPY migrations migrations
COPY simulator simulator
COPY worker worker
RUN pip install --no-deps .

FROM python:${PYTHON_VERSION}-slim-bookworm
RUN useradd --create-home --uid 10001 driftline && mkdir /data && chown driftline /data
COPY --from=build /opt/driftline /opt/driftline
ENV PATH=/opt/driftline/bin:$PATH PYTHONUNBUFFERED=1 DRIFTLINE_DATA_DIR=/data DRIFTLINE_HOST=0.0.0.0
USER 10001
WORKDIR /home/driftline
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "app", "--host", "0.0.0.0", "--port", "8000"]
