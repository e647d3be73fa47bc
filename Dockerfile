# One image for every service: `python -m services.registry`, `.scheduler`, `.worker`, `.gateway`, `.testdc`, or
# the `tgfleet` command. In production pin the base by digest, too.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
# Only what the build hook needs comes from the lock of the tests; hashes are checked in both stages.
COPY requirements.lock ./
RUN python -m venv /build && /build/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY requirements-runtime.lock ./
RUN python -m venv /opt/tgfleet \
    && /opt/tgfleet/bin/pip install --no-cache-dir --no-compile --require-hashes -r requirements-runtime.lock
COPY pyproject.toml hatch_build.py README.md ./
COPY protos ./protos
COPY services ./services
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/tgfleet/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl \
    && /opt/tgfleet/bin/python -m compileall -q /opt/tgfleet/lib

FROM python:3.11-slim-bookworm
COPY --from=build /opt/tgfleet /opt/tgfleet
# Nothing is written outside of mounted volumes and /tmp, so the root may be read-only.
ENV PATH=/opt/tgfleet/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 10001:10001
WORKDIR /tmp
# No ENTRYPOINT: each manifest says which service it runs.
CMD ["tgfleet", "--help"]
