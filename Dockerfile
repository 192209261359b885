# Runs experiments as a user without rights.
#
#     docker build -t counterpoise .                               # PyPI's torch, which computes on CUDA and on CPUs
#     docker build -t counterpoise --build-arg DEVICE=cpu --build-arg TORCH_INDEX=<address of torch's wheels for CPUs> .
#     docker run --rm -v results:/results -e MLFLOW_TRACKING_URI=http://tracking.example:5000 counterpoise
#     docker run --rm --gpus all -v results:/results -v /srv/tables:/tables:ro -e COUNTERPOISE_RAW=/tables \
#         -e MLFLOW_TRACKING_URI=http://tracking.example:5000 counterpoise kedro run --env=prod --pipelines=frontier_loans
#
# An image for CPUs leaves the libraries of CUDA out, which are most of the other one. docs/configuration.md has the rest.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

ARG DEVICE=cuda
ARG TORCH_INDEX
# OpenMP for LightGBM; other libraries bring their own.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.lock ./
RUN set -e; \
    case "$DEVICE" in \
        cuda) cp requirements.lock /tmp/others ;; \
        cpu) \
            test -n "$TORCH_INDEX" || { echo "DEVICE=cpu needs TORCH_INDEX, the address of torch's wheels for CPUs"; exit 1; }; \
            grep -E '^torch(vision)?==' requirements.lock > /tmp/torch; \
            grep -Ev '^(torch(vision)?|triton|nvidia-.*|cuda-.*)==' requirements.lock > /tmp/others; \
            pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" -r /tmp/torch ;; \
        *) echo "DEVICE is $DEVICE, expected cuda or cpu"; exit 1 ;; \
    esac; \
    pip install --no-cache-dir -r /tmp/others; \
    rm -f /tmp/torch /tmp/others

COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --no-deps -e . && python -m compileall -q src
COPY conf conf
COPY data/01_raw/adult data/01_raw/adult

RUN useradd --uid 10001 --create-home counterpoise \
    && mkdir -p conf/local /results \
    && chown counterpoise /app conf/local data data/01_raw /results
USER counterpoise
ENV COUNTERPOISE_ROOT=/results KEDRO_DISABLE_TELEMETRY=1 MLFLOW_DISABLE_TELEMETRY=true
VOLUME /results

CMD ["kedro", "run", "--env=prod"]
