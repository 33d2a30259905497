# Pamps for production: only the installed package and what it needs, run by a user who may write nothing.
#
#     docker build -t pamps .
#     docker run --init -p 127.0.0.1:8000:8000 -e PAMPS_DB__uri=... -e PAMPS_SECURITY__secret_key=... pamps
#     docker run --rm -e PAMPS_DB__uri=... -e PAMPS_SECURITY__secret_key=... pamps pamps migrate
#
# --init: PID 1 then reaps what others orphan. With an embedded PostgreSQL, in an image of your own that installs
# pamps[embedded], one that was killed would otherwise stay a zombie.
#
# Requests in flight may take server.shutdown_timeout (30 s) to finish: stop it with `docker stop -t 35`.

FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/pamps
ENV PATH=/opt/pamps/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# First what changes seldom, so that an edit of the code builds in seconds.
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt
COPY LICENSE MANIFEST.in README.md pyproject.toml requirements.in setup.py ./
COPY pamps pamps
# The dependencies are here with their hashes; `pip check` sees whether they are the ones that the package asks for.
RUN pip wheel --no-deps --wheel-dir dist . && pip install --no-deps dist/*.whl && pip check

FROM python:3.13-slim
RUN useradd --no-create-home --home-dir /app --uid 10001 --shell /usr/sbin/nologin pamps && mkdir /app
COPY --from=build /opt/pamps /opt/pamps
ENV PATH=/opt/pamps/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PAMPS_ENV=production \
    PAMPS_SERVER__host=0.0.0.0
# settings.toml and .secrets.toml may be mounted here.
WORKDIR /app
# By number, so that Kubernetes' runAsNonRoot can tell.
USER 10001
EXPOSE 8000
# http.client and not urllib.request, which would ask a proxy that the environment names.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
# Exec form: SIGTERM reaches the server itself, which then finishes what it is doing.
CMD ["pamps", "serve"]
