# Every target sets up what it needs: a fresh machine needs Python 3.11, make and git, and no step before these.

VENV ?= .venv
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
# pytest's processes; each computes with one thread, so that they do not fight for the cores, and takes over tests of
# a slower one (worksteal, which leaves a file's tests together till then). ARGS goes to pytest.
JOBS ?= 2

BIN := $(VENV)/bin
TOOLS := $(VENV)-tools
STAMP := $(VENV)/.installed
EXTRAS := train,export,paper,cpu,openvino,trt,docs,dev
ON_PATH := PATH="$(abspath $(BIN)):$$PATH"

# Empties the folder $(1) and makes an environment there with the Python $(2); not where anyone else's lies: one that make
# made has a mark, written before anything else, or, of earlier days, the stamp of a finished installation.
define environment
	@if [ -n "$$(ls -A "$(1)" 2>/dev/null)" ] && [ ! -e "$(1)/.made-by-make" ] && [ ! -e "$(1)/.installed" ]; then \
		echo "'$(1)' exists and make did not make it: remove it (make clean), or name another: make VENV=.venv-make ..." >&2; \
		exit 1; fi
	@mkdir -p "$(1)" && touch "$(1)/.made-by-make"
	@find -H "$(1)" -mindepth 1 ! -path "$(1)/.made-by-make" -delete
	"$(2)" -m venv "$(1)"
endef

comma := ,
.DEFAULT_GOAL := help
.PHONY: help setup test lint format demo extras bounds platforms builtin zoo ablation study steps schema docs prove \
	portable triton node cluster web browser fuzz chaos soak mutants audit sbom lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment (the other targets do it where it is missing)

# Made anew, not updated, when the pins change: what is left of older ones would hide a missing requirement.
$(STAMP): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "capsedge needs Python 3.11 or later, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(call environment,$(VENV),$(PYTHON))
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

test: lint ## Check everything: format, lint, types, layers, tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: $(STAMP) ## Check format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: $(STAMP) ## Every step on real images, in minutes: classify, train, export, gate, infer, bench
	@$(ON_PATH) bash scripts/demo.sh

extras: $(STAMP) ## Install each extra in a clean environment and run its commands there
	@PYTHON="$(abspath $(BIN))/python" bash scripts/check_extras.sh

# Slow, and not part of CI. Both want the full Fashion-MNIST, and go on where they were stopped.
builtin: $(STAMP) ## Take the model that ships with capsedge from the zoo: edge-small in int8 (hours where it is to be trained)
	@$(ON_PATH) bash scripts/make_builtin.sh

zoo: $(STAMP) ## Train, export and describe one model of the zoo: make zoo NAME=edge-small (docs/zoo.md)
	@$(ON_PATH) bash scripts/make_zoo.sh $(NAME)

ablation: $(STAMP) ## What the parts of the edge family's training bring, and the capsule head (docs/edge.md; hours)
	$(BIN)/python -m benchmarks.ablation parts --epochs 12 --output runs/ablation
	$(BIN)/python -m benchmarks.ablation heads --epochs 30 --seeds 0,1,2 --output runs/heads

study: $(STAMP) ## The study of the routing step (docs/routing.md): some 70 trainings, two hours on two cores
	$(BIN)/python -m benchmarks.routing | tee docs/routing/tables.md

steps: $(STAMP) ## Time and memory of a training step of every routing kind at Table I's width, on a quiet machine
	$(BIN)/python -m benchmarks.training

prove: ## Run the tests that need a GPU, and report (docs/prove-on-gpu.md); ARGS goes to the script
	@bash scripts/prove_on_gpu.sh $(ARGS)

portable: $(STAMP) ## Check the edge, the gate and int8 on emulated processors (docs/portable.md); ARGS goes to the script
	$(BIN)/python -m benchmarks.portable $(ARGS)

node: $(STAMP) ## Run examples/node in Node.js, with its packages in the user's cache (docs/node.md; 310 MB)
	CAPSEDGE_TEST_NODE=1 $(BIN)/python -m pytest -n 0 tests/test_node.py $(ARGS)

# Ray lies in an environment of its own, which sees the developers' packages, too.
cluster: $(STAMP) ## Classify 100,000 images in Ray, a worker killed on the way (docs/cluster.md)
	$(call environment,$(VENV)-ray,$(BIN)/python)
	"$(BIN)/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(VENV)-ray/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/developers.pth"
	$(VENV)-ray/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt 'ray[data]>=2.40'
	CAPSEDGE_TEST_IMAGES=100000 $(VENV)-ray/bin/python -m pytest -n 0 tests/test_cluster.py $(ARGS)

# Slow, and not part of CI (docs/reliability.md); ARGS goes to the program, whose --help lists its options.
fuzz: $(TOOLS)/.installed ## Give every reader 100,000 damaged files, within bounds of time and memory
	$(TOOLS)/bin/python -m tests.hardening.fuzz $(ARGS)

chaos: $(STAMP) ## Kill trainings, exports and engine builds, fill the disk, start two of everything
	$(BIN)/python -m tests.hardening.chaos $(ARGS)

soak: $(STAMP) ## A million inferences and 100,000 images: the same answers, flat memory
	$(BIN)/python -m tests.hardening.soak $(ARGS)

mutants: $(TOOLS)/.installed ## Change the code at random places, and list the changes that no test notices
	$(TOOLS)/bin/python -m tests.hardening.mutants $(ARGS)

# The library of the page comes by npm (docs/web.md).
web: $(STAMP) ## Write the page of the built-in model, serve it on this machine, and open it in the browser
	$(BIN)/python -m capsedge export builtin --web build/web
	$(BIN)/python scripts/serve_page.py $(ARGS) build/web/edge-small-int8

browser: $(STAMP) ## Test the page in headless Chromium and Firefox, against capsedge infer; both and Node.js are needed
	@mkdir -p build/browser
	npm install --prefix build/browser --no-audit --no-fund --ignore-scripts \
		playwright-core@1.65.1 puppeteer-core@24.43.1 axe-core@4.14.1
	CAPSEDGE_WEB_TOOLS="$(abspath build/browser)" OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/export/web $(ARGS)

audit: $(TOOLS)/.installed ## Look for known vulnerabilities of the developers' environment (asks the package index)
	$(TOOLS)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

sbom: $(TOOLS)/.installed ## Write sbom.json: everything in the developers' environment, as CycloneDX
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-file sbom.json

lock: $(STAMP) ## Write requirements.lock: the developers' environment with the hash of every file, for pip --require-hashes
	$(BIN)/uv pip compile pyproject.toml $(foreach extra,$(subst $(comma), ,$(EXTRAS)),--extra $(extra)) \
		--constraints constraints.txt --generate-hashes --python $(BIN)/python --quiet --output-file requirements.lock

triton: $(VENV)-triton/.installed ## Serve the built-in model with a real Triton server, test it and measure it (Linux on x86-64)
	CAPSEDGE_TRITON=$(VENV)-triton $(BIN)/python -m pytest -m triton tests/serving $(ARGS)
	$(BIN)/python -m benchmarks.triton --environment $(VENV)-triton

# numpy and onnxruntime are for the backend's process; the package's other requirements are for what is not used here.
$(VENV)-triton/.installed: $(STAMP)
	$(call environment,$(VENV)-triton,$(BIN)/python)
	$(VENV)-triton/bin/pip install --disable-pip-version-check --quiet 'numpy<2' onnxruntime
	$(VENV)-triton/bin/pip install --disable-pip-version-check --quiet --no-deps nvidia-pytriton==0.7.0
	@touch $@

# It sees the packages of the developers' environment too, for which it has a path.
$(TOOLS)/.installed: $(STAMP) tools.txt
	$(call environment,$(TOOLS),$(BIN)/python)
	"$(BIN)/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(TOOLS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/developers.pth"
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet --ignore-installed -r tools.txt
	@touch $@

schema: $(STAMP) ## Write docs/contract.schema.json anew, after a change of the contract
	$(BIN)/python scripts/contract_schema.py

docs: $(STAMP) ## Build the documentation as a site in site/, every link checked
	$(BIN)/python -m mkdocs build --strict

bounds: $(STAMP) ## As extras, with the lowest releases that pyproject.toml admits (not gpu; torch stays as pinned)
	@PYTHON="$(abspath $(BIN))/python" CONSTRAINTS=lower-bounds.txt bash scripts/check_extras.sh \
		cpu cpu,openvino cpu,trt train,tensorboard,cpu paper,cpu train,export,cpu train,export,cpu,trt

platforms: $(STAMP) ## Resolve the extras for other systems, without installing
	$(BIN)/python scripts/check_platforms.py

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) $(TOOLS) $(VENV)-triton $(VENV)-ray fuzz sbom.json requirements.lock build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
