# The clone's commands; `make help` lists them. PYTHON=/path/to/python3 chooses the interpreter.
export PYTHON

ROOMS := scoreboard api workers ops tests
# The runner sets both timeouts for every file, and an int that a CHECK bounds to 100 does not overflow.
SQUAWK_EXCLUDE := require-lock-timeout,require-statement-timeout,prefer-bigint-over-int

.DEFAULT_GOAL := help
.PHONY: run dev test check bench lock clean help venv venv-dev venv-queue venv-aws venv-checkov

run: venv venv-queue ## Run the whole system on this machine until Ctrl-C (PORT=3000, SCOREBOARD_HOME=.scoreboard)
	@.venv/bin/scoreboard local

dev: venv venv-queue ## The same, restarting what changed
	@.venv/bin/scoreboard local --reload

test: venv-dev venv-queue ## All tests, on real parts (ARGS=... goes to pytest)
	@.venv/bin/python -m tests.support.browser --install
	@.venv/bin/python -m pytest $(ARGS)

check: venv-dev ## Style, types, and migrations that would lock
	.venv/bin/ruff check $(ROOMS)
	.venv/bin/ruff format --check $(ROOMS)
	.venv/bin/mypy
	.venv/bin/squawk --assume-in-transaction --exclude=$(SQUAWK_EXCLUDE) scoreboard/sql/migrations/*.sql

bench: venv-dev venv-queue ## Load and latency, as a table
	@.venv/bin/python -m tests.bench

lock: venv-dev ## Resolve requirements/*.in anew, with hashes
	@cd requirements && for pair in runtime.in:../requirements.txt functions.in:functions.txt ops.in:ops.txt dev.in:dev.txt queue.in:queue.txt aws.in:aws.txt checkov.in:checkov.txt; do \
		echo "Locking $${pair#*:}"; \
		../.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-header $${pair%%:*} -o $${pair#*:} || exit 1; \
	done

clean: ## Remove virtual environments, caches and the local data; not while a stack runs
	@if [ -x .venv/bin/scoreboard ]; then .venv/bin/python -m ops.clean; else rm -rf .scoreboard; fi
	@rm -rf .venv .venv-queue .venv-aws .venv-checkov .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## This list
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-7s %s\n", $$1, $$2 }'

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
