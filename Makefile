# Every target installs what it needs, prints its verdict as its last line, and exits by it.

UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --locked

.PHONY: install rehearse test search evals chaos bench bench-bot figures lint

# uv by pip where it is missing, in a folder of its own: nothing is installed outside this checkout.
.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv

# With bytecode: otherwise each command would compile its imports where Python may write none (PYTHONDONTWRITEBYTECODE).
install: $(if $(findstring .uv/,$(UV)),.uv/bin/uv)
	@$(UV) sync --locked --quiet --compile-bytecode
	@echo "install: passed"

rehearse: install
	@$(RUN) dialout rehearse

# Most tests wait more than they work, so three run at a time; tests that hold conversations have the machine to themselves.
test: install
	@$(RUN) pytest -n 3 --dist loadfile --durations 12 -m "not calls"
	@$(RUN) pytest --durations 12 -m calls

# What the property tests see is the same on every run; this looks at thirty times as many other examples.
search: install
	@SEARCH_TIMES=30 $(RUN) pytest -n 2 -m hypothesis

# Against the providers' stand-ins; docs/evals.md says how to run them against the real ones.
evals: install
	@$(RUN) python -m evals

# The short form; docs/reliability.md has the commands of the long one.
chaos: install
	@$(RUN) python -m tests.chaos

# The dialer, then the bot: the short forms; docs/performance.md has the commands of the long ones.
bench: install
	@$(RUN) python -m bench.worker all

bench-bot: install
	@$(RUN) python -m bench.bot all

# The house's figures against their bars: sizes, circles, names, patches (tests/figures.py).
figures: install
	@$(RUN) python -m tests.figures

# All of them, whatever the first ones say.
lint: install
	@failed=; \
	check() { name=$$1; shift; "$$@" || failed="$$failed $$name"; }; \
	check lock $(UV) lock --check --quiet; \
	check ruff $(RUN) ruff check --quiet; \
	check format $(RUN) ruff format --check --quiet; \
	check imports $(RUN) lint-imports; \
	check types $(RUN) pyright; \
	check dependencies $(RUN) python -m tests.dependencies; \
	check figures $(RUN) python -m tests.figures; \
	if [ "$$failed" ]; then echo "lint: FAILED:$$failed"; exit 1; fi; \
	echo "lint: passed"
