# Every command of the project. `make help` lists them; what they do is in cmake/, tools/ and tests/.
BUILD ?= build
PRESET ?= default
PREFIX ?= /usr/local
T ?=
JOBS ?= $(shell nproc)
NINJA = ninja -C $(BUILD) -j $(JOBS)
CTEST = ctest --test-dir $(BUILD) -j 2 --output-on-failure --no-tests=error

.DEFAULT_GOAL := build
.PHONY: help setup configure build demo test soak bench format lint docs install clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## install the Debian packages that are missing (root or sudo)
	@tools/setup

configure: setup
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)

build: configure ## build everything: host program, kernel, samples
	@$(NINJA)

demo: configure ## build, crash the sample driver, show the debugger's answers
	@$(NINJA) --quiet demo-parts
	@tools/demo $(BUILD)

test: build ## every test, host and guest; T=REGEX runs the tests whose names match
	@$(CTEST) -LE soak $(if $(T),-R "$(T)")

soak: build ## the long runs: crashes and boots by the hundred, a minute of each stress test, fuzzing; prints its seeds
	@$(CTEST) -L soak $(if $(T),-R "$(T)")

bench: build ## the table of speeds and sizes, with QEMU's own floor measured in the same run
	@tools/bench.py --build $(BUILD)

format: setup ## lay out all sources with clang-format
	@git ls-files '*.cpp' '*.h' ':!include/nt' | xargs clang-format-19 -i

lint: build ## formatting, clang-tidy, layering, sizes, headers that compile alone
	@tools/lint.py --build $(BUILD)

docs: build ## regenerate docs/generated
	@tools/generate_docs.py --build $(BUILD) --write

install: build ## install program, guest images, headers and CMake package under PREFIX
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove the build folder
	@rm -rf $(BUILD)
