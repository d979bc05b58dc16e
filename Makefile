.DEFAULT_GOAL := help
export PYTHON
bin := .venv/bin
on_screen := $(and $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname -s))),$(if $(CI),,yes))

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: venv
venv: ## make .venv with everything in it (once)
	@scripts/bootstrap

.PHONY: demo
demo: venv ## open napari on a sample scan with both masks; without a screen, leave them in demo_output/
ifeq ($(on_screen),)
	@scripts/with-display $(bin)/napari-morse demo --out demo_output --headless
else
	@$(bin)/napari-morse demo --out demo_output
endif

.PHONY: test
test: venv ## run every check; arguments for pytest in ARGS="…"
	@scripts/with-display scripts/check $(ARGS)

.PHONY: lint
lint: venv ## ruff and the import rules
	@$(bin)/ruff check . && $(bin)/ruff format --check . && $(bin)/lint-imports

.PHONY: format
format: venv ## let ruff rewrite what it can
	@$(bin)/ruff check --fix . && $(bin)/ruff format .

.PHONY: types
types: venv ## mypy
	@$(bin)/mypy

.PHONY: hooks
hooks: venv ## run the checks at each commit
	@$(bin)/pre-commit install

.PHONY: constraints
constraints: venv ## pin what .venv holds
	@$(bin)/python scripts/constraints.py > constraints.new && mv constraints.new constraints.txt

.PHONY: build
build: venv ## source archive and wheel in dist/
	@$(bin)/python -m build
