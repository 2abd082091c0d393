# The clone's commands; `make help` lists them. PYTHON=/path/to/python3 chooses the interpreter.
export PYTHON

ROOMS := scoreboard api workers chalice_app ops tests
# The runner sets both timeouts for every file, and an int that a CHECK bounds to 100 does not overflow.
SQUAWK_EXCLUDE := require-lock-timeout,require-statement-timeout,prefer-bigint-over-int

# The image: what builds it, for which processor, and its name, whose tag is never used for anything else.
BUILDER ?= $(shell for tool in docker podman buildah; do $$tool info >/dev/null 2>&1 && echo $$tool && break; done)
PLATFORM ?= linux/arm64
VERSION ?= $(shell git describe --tags --always --dirty)
IMAGE ?= scoreboard-api:$(VERSION)
# Only Docker's format has a health check; Docker itself knows no other.
FORMAT = $(if $(filter docker,$(BUILDER)),,--format docker)
LABELS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD) \
	--build-arg CREATED=$(shell git log -1 --format=%cI)

.DEFAULT_GOAL := help
.PHONY: run dev test check check-aws rehearse bench package build-ScoreEvents image push image-trial sbom deploy smoke \
	lock clean help venv venv-dev venv-queue venv-aws venv-checkov venv-ship

run: venv venv-queue ## Run the whole system on this machine until Ctrl-C (PORT=3000, SCOREBOARD_HOME=.scoreboard)
	@.venv/bin/scoreboard local

dev: venv venv-queue ## The same, restarting what changed
	@.venv/bin/scoreboard local --reload

test: venv-dev venv-queue ## All tests, on real parts (ARGS=... goes to pytest)
	@.venv/bin/python -m tests.support.browser --install
	@.venv/bin/python -m pytest $(ARGS)

check: venv-dev venv-ship ## Style, types, migrations that would lock, and the files of image and pipeline
	.venv/bin/ruff check $(ROOMS)
	.venv/bin/ruff format --check $(ROOMS)
	.venv/bin/mypy
	.venv/bin/squawk --assume-in-transaction --exclude=$(SQUAWK_EXCLUDE) scoreboard/sql/migrations/*.sql
	.venv-ship/bin/hadolint Dockerfile
	.venv-ship/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
	.venv-ship/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	.venv-ship/bin/zizmor --quiet --offline --persona pedantic .github

check-aws: venv-dev venv-queue venv-aws venv-checkov package ## The templates: linted, scanned, and asked for each profile
	@.venv/bin/python -m tests.aws

rehearse: venv-dev venv-queue venv-aws ## Deploy everything into an emulator on this machine, use it, delete it
	@.venv/bin/python -m tests.rehearsal

bench: venv-dev venv-queue ## Load and latency, as a table
	@.venv/bin/python -m tests.bench

package: venv-dev ## The operations app for Lambda, into build/chalice (LAMBDA_ARCH=arm64|x86_64, LAMBDA_PYTHON=3.13)
	@.venv/bin/python -m ops.package chalice build/chalice

# `sam build --build-in-source` calls it for the function of this name, and gives the folder.
build-ScoreEvents: venv-dev
	@.venv/bin/python -m ops.package worker "$(ARTIFACTS_DIR)"

image: ## Build the API's image with docker, podman or buildah (IMAGE=name:tag, PLATFORM=linux/arm64, OPTIONS=...)
	$(or $(BUILDER),$(error Neither docker nor podman nor buildah works here)) build $(FORMAT) --platform $(PLATFORM) \
		--target api $(LABELS) --tag $(IMAGE) $(OPTIONS) .

push: ## Push the image to the registry that its name begins with (IMAGE=...); log in before
	$(or $(BUILDER),$(error Neither docker nor podman nor buildah works here)) push $(IMAGE)

image-trial: venv-dev venv-queue ## Build all images without a registry, and use them; needs root, buildah, runc and mmdebstrap
	@.venv/bin/python -m tests.image

sbom: venv-dev venv-ship ## List what ships, as CycloneDX, into build/sbom
	@.venv/bin/python -m ops.sbom build/sbom

deploy: venv-dev venv-aws ## Build and deploy an environment (ENV=dev|staging|prod, IMAGE=..., PARAMETERS="Name=value ...")
	@VERSION="$(VERSION)" .venv/bin/python -m ops.deploy "$(ENV)"

smoke: venv-dev ## Ask a deployed system whether it works; reads only (URL=https://...)
	@.venv/bin/python -m ops.smoke "$(URL)"

lock: venv-dev ## Resolve requirements/*.in anew, with hashes
	@cd requirements && for pair in runtime.in:../requirements.txt functions.in:functions.txt ops.in:ops.txt dev.in:dev.txt queue.in:queue.txt aws.in:aws.txt checkov.in:checkov.txt ship.in:ship.txt; do \
		echo "Locking $${pair#*:}"; \
		../.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-header $${pair%%:*} -o $${pair#*:} || exit 1; \
	done

clean: ## Remove virtual environments, caches and the local data; not while a stack runs
	@if [ -x .venv/bin/scoreboard ]; then .venv/bin/python -m ops.clean; else rm -rf .scoreboard; fi
	@rm -rf .venv .venv-queue .venv-aws .venv-checkov .venv-ship .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## This list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-11s %s\n", $$1, $$2 }'

venv:
	@sh ops/venv.sh run

venv-dev:
	@sh ops/venv.sh dev

venv-queue:
	@sh ops/venv.sh queue

venv-aws:
	@sh ops/venv.sh aws

venv-checkov:
	@sh ops/venv.sh checkov

venv-ship:
	@sh ops/venv.sh ship
