# One image for every role: `serve` is the default, `migrate`, `backup`, `doctor` and the others are arguments.
# Packages come from whatever index pip is configured for; the locks' hashes decide what is accepted.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
# Optional dependencies with a lock of their own: requirements-NAME.lock.
ARG EXTRAS="postgres redis mongo"
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements*.lock ./
RUN python -m venv /opt/antiphon \
    && for lock in requirements.lock $(printf 'requirements-%s.lock ' $EXTRAS); do \
        /opt/antiphon/bin/pip install --require-hashes --no-deps -r "$lock" || exit 1; \
    done
# Node.js, for the chat page alone: what is put here does not leave this stage.
RUN pip install --require-hashes --no-deps --target /node -r requirements-page.lock
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY web web
COPY src src
# The build hook makes the page and puts it into the package.
RUN PYTHONPATH=/node /opt/antiphon/bin/pip install --no-deps --no-build-isolation . \
    && /opt/antiphon/bin/python -m compileall -q /opt/antiphon/lib \
    && /opt/antiphon/bin/pip uninstall --yes --quiet pip

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin antiphon \
    && install --directory --owner=antiphon --group=antiphon --mode=0700 /data
COPY --from=build /opt/antiphon /opt/antiphon
# Bound to every address, the server wants credentials: it does not start without SECRET_KEY.
ENV PATH=/opt/antiphon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data
WORKDIR /data
VOLUME /data
EXPOSE 8000
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "antiphon.cli.alive"]
ENTRYPOINT ["antiphon"]
CMD ["serve"]
