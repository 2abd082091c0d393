# The API's image; `make image` builds it. Stages: wheels -> code -> api, and for compose.yaml also local and queue.
# The build runs on the builder's own platform and only copies into the image, so an ARM64 image needs no emulator.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie

# hadolint ignore=DL3006
FROM --platform=$BUILDPLATFORM ${PYTHON_IMAGE} AS wheels
ARG TARGETARCH
WORKDIR /app
ENV PYTHONDONTWRITEBYTECODE=1
COPY requirements.txt /locks/
# Wheels only, and only those whose hash is in the lock. `bin` has programs of the builder's interpreter.
RUN case "$TARGETARCH" in arm64) machine=aarch64 ;; amd64) machine=x86_64 ;; \
        *) echo "TARGETARCH is '$TARGETARCH': it must be arm64 or amd64" >&2; exit 2 ;; esac \
    && python -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action ignore --no-compile \
        --require-hashes --only-binary :all: --implementation cp --python-version 3.13 \
        --platform "manylinux_2_28_$machine" --platform "manylinux2014_$machine" --platform "manylinux_2_17_$machine" \
        --target lib -r /locks/requirements.txt \
    && rm -rf lib/bin

FROM wheels AS code
COPY scoreboard scoreboard
COPY api api
# Compiled ahead: the root file system is read-only. Unchecked, because files get new times when they are copied.
# Readable to all, whatever the modes in the clone are.
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX,go-w .

# The worker's poller and the command's verbs, for those without AWS; AWS runs the worker in Lambda.
FROM code AS local-code
COPY workers workers
COPY ops ops
RUN python -m compileall -q --invalidation-mode unchecked-hash workers ops && chmod -R a+rX,go-w workers ops

FROM wheels AS queue-code
COPY requirements/queue.txt /locks/
# The emulator replaces the libraries, which its own versions must not meet.
RUN rm -rf lib && python -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action ignore \
        --require-hashes --only-binary :all: --target lib -r /locks/queue.txt && rm -rf lib/bin
COPY ops/__init__.py ops/queue_server.py ops/queue_setup.py ops/
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX,go-w . && mkdir /data

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS runtime
WORKDIR /app
ENV PYTHONPATH=/app/lib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001

FROM runtime AS queue
COPY --from=queue-code /app /app
# A new volume takes its owner from here.
COPY --from=queue-code --chown=10001:10001 /data /data
# Its own folder comes first on the path, as `python FILE` has it, and the file takes it off again.
CMD ["python", "ops/queue_server.py", "/data/journal.jsonl"]

FROM runtime AS local
COPY --from=local-code /app /app
CMD ["python", "-m", "ops.poller"]

FROM runtime AS api
COPY --from=code /app /app
ENV HOST=0.0.0.0 PORT=3000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["python", "-m", "api.healthcheck"]
# The list form: Python is the first process and gets SIGTERM itself.
CMD ["python", "-m", "api"]
# Last, so that a new version does not build anew what has not changed.
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="scoreboard-api" \
    org.opencontainers.image.description="A leaderboard that is live: the API" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.created="$CREATED"
