# Two commands do everything: `make book` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/.ready
export PATH := $(BIN):$(PATH)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help env book test test-deep test-environments lab measure twice bench lint clean lock new-chapter browser set-repository hub-links bundle release slides pdf

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

env: $(READY) ## make the environment in .venv from requirements.lock

# uv takes a tenth of the time; where only pip knows the way (an index named in pip.conf), pip goes it.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep '^uv==' requirements.lock)"
	$(UV) -r requirements.lock || $(PIP) -r requirements.lock
	$(UV) --no-deps --no-build-isolation -e .
	@touch $(READY)

book: env ## execute the notebooks, build the site, say where it is
	@$(BIN)/python -m aistack.book

lint: env
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check aistack tests
	$(BIN)/codespell

browser: env
	@$(BIN)/python tests/browser.py

# nbval takes from the build what JAX has compiled.
test: export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/_build/jax
test: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
test: env browser lint book ## run every check, a browser is found or installed
	$(BIN)/python -m pytest -p tests.kernels --nbval-lax -n $(WORKERS) --dist loadscope $$($(BIN)/python -m aistack.book --list)
	$(BIN)/python -m pytest -p no:nbval --doctest-modules -n $(WORKERS) --dist worksteal -m "not environments and not deep" tests aistack

test-deep: env browser book ## the rest of the crawl: every page in both themes and sizes, every explorer at 62 settings
	$(BIN)/python -m pytest -p no:nbval -n $(WORKERS) --dist worksteal -m deep tests

test-environments: env browser book ## build the environments of Binder, Colab, the lowest versions and the bundle, run all chapters in each
	$(BIN)/python -m pytest -m environments -rA tests/test_environments.py tests/test_build.py

measure: env ## run every notebook alone and record its time, its memory and what it measured in reference/measured.json
	@$(BIN)/python -m aistack.book --measure

twice: env ## execute and build everything twice from the last commit, fail if a byte differs
	$(BIN)/python -m pytest -m environments tests/test_build.py

bench: env browser book ## measure speed and size, print tables, keep the figures for the page of the build
	@$(BIN)/python tests/bench.py --write

lab: env ## open JupyterLab at the course's welcome
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/welcome.ipynb

bundle: book ## write one archive for rooms without network: site, notebooks, data, packages
	@$(BIN)/python -m aistack.bundle

set-repository: env ## bring every link and notebook to the repository of _config.yml, or to another: make set-repository URL=https://host/owner/project
	@$(BIN)/python -m aistack.launch set-repository "$(URL)"

hub-links: env ## print nbgitpuller links for a JupyterHub: make hub-links HUB=https://hub.example.edu
	@$(BIN)/python -m aistack.launch hub-links "$(HUB)"

release: env ## make the students' notebooks in exercises/release from the sources
	@$(BIN)/python -m aistack.cli release

slides: book ## cut slides from the built chapters
	@$(BIN)/python -m aistack.book.slides

pdf: browser book ## print the book on paper: _build/pdf/sand-to-tokens.pdf
	@$(BIN)/python -m aistack.book.pdf "$$($(BIN)/python tests/browser.py)"

new-chapter: env ## start a chapter from the template: make new-chapter SLUG=01-raw-materials TITLE="Raw materials"
	@$(BIN)/python -m aistack.book.new_chapter "$(SLUG)" "$(TITLE)"

lock: env ## resolve pyproject.toml again into requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra test --no-header --no-annotate --no-emit-index-url pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra chapters --extra lab --no-header --no-annotate --no-emit-index-url -c requirements.lock pyproject.toml -o binder/requirements.txt

clean: ## remove what was built
	rm -rf _build
