# SPDX-License-Identifier: MIT
# Every habit is one target; `make help` lists them. Outputs lie in build/<variant>/, one folder a variant.

VARIANT ?= release
BUILD   ?= build
CC      ?= cc
CLANG   ?= clang
PYTHON  ?= /usr/bin/python3
PREFIX  ?= /usr/local
V       ?= 0
JOBS    ?= $(shell nproc)
VERSION := 0.1.0

# Rooms to build, bottom up (src/ROOMS). A part can be built alone: make ROOMS="base prim format" unit
ALL_ROOMS := base prim format chunk detect proto sys archive store net client server cli
ROOMS   ?= $(ALL_ROOMS)

PKGS    := libzstd libcrypto libssl libcurl libnghttp2 jansson
WARN    := -std=c17 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes \
           -Wmissing-prototypes -Wcast-qual -Wundef -Wvla -Wformat=2 -Wwrite-strings
OPT_release := -O2 -g -DNDEBUG -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT_cover   := -O0 -g --coverage
OPT_clang   := -O2 -g
OPT_afl     := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

ifneq ($(filter $(VARIANT),clang fuzz),)
CC := $(CLANG)
endif
ifeq ($(VARIANT),afl)
CC := afl-clang-fast
endif
ifeq ($(filter $(VARIANT),release debug asan tsan cover clang fuzz afl),)
$(error VARIANT must be one of release debug asan tsan cover clang fuzz afl)
endif

DIR     := $(BUILD)/$(VARIANT)
CPPDEFS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DPBR_VERSION='"$(VERSION)"' -Isrc
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS)) -pthread
ALL_CFLAGS  = $(WARN) $(WERROR) $(OPT_$(VARIANT)) $(CPPDEFS) $(PKG_CFLAGS) -pthread -fvisibility=default $(CPPFLAGS) $(CFLAGS)
# bound at start: a late binding would save registers, with keys in them, on the stack
ALL_LDFLAGS = $(OPT_$(VARIANT)) -Wl,-z,relro,-z,now $(LDFLAGS)

ifeq ($(V),0)
Q := @
say = @printf '  %-7s %s\n' $(1) $(2)
else
Q :=
say =
endif

LIB_ROOMS := $(filter-out cli,$(ROOMS))
LIB_SRC := $(foreach r,$(LIB_ROOMS),$(sort $(wildcard src/$(r)/*.c)))
CLI_SRC := $(if $(filter cli,$(ROOMS)),$(sort $(wildcard src/cli/*.c)))
LIB_OBJ := $(LIB_SRC:%.c=$(DIR)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(DIR)/%.o)
LIB     := $(DIR)/libpbsref.a
PROG    := $(DIR)/pbsref

# Unit and property tests are named after the room they test: <room>_<module>_test.c
TEST_SRC := $(foreach r,$(ROOMS),$(sort $(wildcard tests/unit/$(r)_*_test.c tests/prop/$(r)_*_test.c tests/torture/$(r)_*_test.c)))
TEST_BIN := $(TEST_SRC:%.c=$(DIR)/%)
BENCH_SRC := $(sort $(wildcard bench/*.c))
BENCH_BIN := $(BENCH_SRC:%.c=$(DIR)/%)
# One program a target: libFuzzer's main with VARIANT=fuzz, else fuzz/driver.c (files and folders)
FUZZ_SRC := $(filter-out fuzz/driver.c,$(sort $(wildcard fuzz/*.c)))
FUZZ_LIB := $(DIR)/fuzz/libfuzz.a
FUZZ_LIB_OBJ := $(patsubst %.c,$(DIR)/%.o,$(sort $(wildcard fuzz/support/*.c)))
# What the parsers make of the targets' inputs, for the comparison with the oracle
FUZZ_VIEW := $(DIR)/fuzz-view
FUZZ_VIEW_OBJ := $(patsubst %.c,$(DIR)/%.o,$(sort $(wildcard fuzz/view/*.c)))
FUZZ_BIN := $(FUZZ_SRC:%.c=$(DIR)/%)
FUZZ_MAIN := $(if $(filter fuzz,$(VARIANT)),-fsanitize=fuzzer,fuzz/driver.c)
T        ?= 60
# What `pbsref conform` needs: installed below share/pbsref
SUITE    := spec testdata tests/conformance tests/adapters tests/oracle
ENGINE   ?= afl
FUZZ_VARIANT := $(if $(filter libfuzzer,$(ENGINE)),fuzz,afl)
# Generations of the model test in C, chains of ten backups of the one with the program
ROUNDS   ?= 20000
CHAINS   ?= 8
# Size of the sample of source mutants
N        ?= 200

.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

all: $(if $(CLI_SRC),$(PROG) $(BUILD)/pbsref,$(LIB)) ## build the program (build/pbsref) and the library

$(BUILD)/pbsref: $(PROG)
	$(Q)ln -sfn $(VARIANT)/pbsref $@

$(DIR)/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -MMD -MP -c $< -o $@

$(LIB): $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(PROG): $(CLI_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(CLI_OBJ) $(LIB) $(PKG_LIBS)

$(DIR)/pbsref.1: $(PROG)
	$(Q)$(PROG) help --format man > $@

$(DIR)/pbsref.bash: $(PROG)
	$(Q)$(PROG) help --format bash > $@

$(DIR)/libpbsref.so.0: $(LIB_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libpbsref.so.0 -o $@ $^ $(PKG_LIBS)

$(DIR)/tests/%: tests/%.c $(LIB) tests/unit/test.h
	$(call say,TEST,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -Itests/unit -MMD -MP -MF $@.d $< -o $@ $(ALL_LDFLAGS) $(LIB) -lcmocka $(PKG_LIBS)

$(DIR)/bench/%: bench/%.c $(LIB)
	$(call say,BENCH,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d $< -o $@ $(ALL_LDFLAGS) $(LIB) $(PKG_LIBS)

$(FUZZ_LIB_OBJ) $(FUZZ_VIEW_OBJ): CPPFLAGS += -Ifuzz

$(FUZZ_VIEW): $(FUZZ_VIEW_OBJ) $(FUZZ_LIB) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(FUZZ_VIEW_OBJ) $(FUZZ_LIB) $(LIB) $(PKG_LIBS)

$(FUZZ_LIB): $(FUZZ_LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(DIR)/fuzz/%: fuzz/%.c fuzz/driver.c $(wildcard fuzz/*.h fuzz/support/*.h) $(FUZZ_LIB) $(LIB)
	$(call say,FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -Ifuzz $< $(FUZZ_MAIN) -o $@ $(ALL_LDFLAGS) $(FUZZ_LIB) $(LIB) $(PKG_LIBS)

-include $(LIB_OBJ:.o=.d) $(FUZZ_LIB_OBJ:.o=.d) $(FUZZ_VIEW_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TEST_BIN:=.d) $(BENCH_BIN:=.d)

# ---- checks ----

unit: $(TEST_BIN) ## unit and property tests in C (VARIANT= chooses the build)
	$(Q)ci/run-tests $(TEST_BIN)

check: all unit fuzz-replay $(FUZZ_VIEW) lint-fast spec-trace provenance ## everything that needs no server, under two minutes
	$(Q)PBSREF=$(abspath $(PROG)) FUZZ_VIEW=$(abspath $(FUZZ_VIEW)) $(PYTHON) -m pytest -q -rs -n $(JOBS) tests/oracle tests/spec tests/conformance

check-e2e: all ## end-to-end tests (pytest): program against server, golden data, oracle
	$(Q)PBSREF=$(abspath $(PROG)) $(PYTHON) -m pytest -q -rs -n $(JOBS) tests/e2e

check-model: $(DIR)/tests/prop/detect_model_test all ## change detection against its models: make check-model ROUNDS=20000 SEED= (a failure names its seed)
	$(Q)PBR_MODEL_ROUNDS=$(ROUNDS) $(if $(SEED),PBR_SEED=$(SEED)) $<
	$(Q)PBSREF=$(abspath $(PROG)) PBR_MODEL_CHAINS=$(CHAINS) $(if $(SEED),PBR_SEED=$(SEED)) \
	    $(PYTHON) -m pytest -q -n $(JOBS) tests/e2e/test_reuse_model.py

conform: all ## the conformance suite against pbsref and the oracle, report in build/conform (ADAPTERS= names others, CASES= selects)
	$(Q)$(PROG) conform run $(CASES) $(foreach a,$(or $(ADAPTERS),pbsref oracle),--adapter $(a)) --report $(BUILD)/conform

mutants: all ## the suite's own test: implementations with one defect each, all must be caught (build/mutants.md; FULL=1 plays every case)
	$(Q)cd tests && PBSREF=$(abspath $(PROG)) $(PYTHON) -m conformance.mutants $(if $(FULL),--full) --out $(abspath $(BUILD))/mutants.md $(MUTANTS)
	$(Q)cd tests && PBSREF=$(abspath $(PROG)) $(PYTHON) -m conformance.mutants.faults

mutation: ## faults in the C source of the formats, the chunker and change detection: do the unit tests notice? (N=200 SEED=1, build/mutation.md)
	$(Q)nice -n 10 $(PYTHON) ci/mutate.py --build $(abspath $(BUILD)) --count $(N) --seed $(or $(SEED),1) $(or $(ROOM),src/format src/chunk src/detect)

matrix: ## puts the matrix of the last conformance run into README.md (RESULTS= another one's results.jsonl)
	$(Q)$(PYTHON) ci/readme-matrix.py $(or $(RESULTS),$(BUILD)/conform/results.jsonl)

check-asan: ## C tests and end-to-end tests with AddressSanitizer and UBSan
	$(Q)$(MAKE) VARIANT=asan unit check-e2e

check-tsan: ## C tests and the threaded end-to-end tests with ThreadSanitizer
	$(Q)$(MAKE) VARIANT=tsan all unit
	$(Q)PBSREF=$(abspath $(BUILD)/tsan/pbsref) $(PYTHON) -m pytest -q -rs -n $(JOBS) tests/e2e -k "backup or restore or server"

check-valgrind: ## C tests under Valgrind (memcheck), no suppressions
	$(Q)$(MAKE) VARIANT=debug $(TEST_BIN:$(DIR)/%=$(BUILD)/debug/%)
	$(Q)WRAP="valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite" \
	    PBR_TEST_SLOW=1 ci/run-tests $(TEST_BIN:$(DIR)/%=$(BUILD)/debug/%)

fuzz-replay: $(FUZZ_BIN) ## every input of fuzz/corpus and fuzz/regress through its target (VARIANT= chooses the build)
	$(Q)set -e; for t in $(FUZZ_BIN); do n=$$(basename $$t); printf '  %-12s' $$n; \
	    $$t $$(ls -d fuzz/corpus/$$n fuzz/regress/$$n 2>/dev/null); done

fuzz: ## fuzz one target: make fuzz TARGET=pxar_dec T=60 (seconds; ENGINE=afl, or libfuzzer)
	$(Q)test -f fuzz/$(TARGET).c || { echo "TARGET must be one of: $(FUZZ_SRC:fuzz/%.c=%)"; exit 1; }
	$(Q)$(MAKE) VARIANT=$(FUZZ_VARIANT) $(BUILD)/$(FUZZ_VARIANT)/fuzz/$(TARGET)
	$(Q)$(PYTHON) fuzz/run.py --build $(BUILD) --engine $(ENGINE) --time $(T) $(TARGET)

fuzz-all: ## all fuzz targets, two at once, and a table: make fuzz-all T=600 (ENGINE=afl, or libfuzzer)
	$(Q)$(MAKE) VARIANT=$(FUZZ_VARIANT) $(FUZZ_SRC:%.c=$(BUILD)/$(FUZZ_VARIANT)/%)
	$(Q)$(PYTHON) fuzz/run.py --build $(BUILD) --engine $(ENGINE) --time $(T) $(FUZZ_SRC:fuzz/%.c=%)

fuzz-min: ## takes what fuzzing found into fuzz/corpus and leaves what adds coverage (TARGET=, or all)
	$(Q)$(MAKE) VARIANT=fuzz $(FUZZ_SRC:%.c=$(BUILD)/fuzz/%)
	$(Q)$(PYTHON) fuzz/run.py --build $(BUILD) --minimise $(or $(TARGET),$(FUZZ_SRC:fuzz/%.c=%))

spec-trace: ## which rule of spec/ is covered by which code and test (build/spec-trace.md, .html)
	$(Q)$(PYTHON) ci/spec-trace.py --out $(BUILD)/spec-trace.md --html $(BUILD)/spec-trace.html

provenance: ## every fixture has its line in PROVENANCE.json
	$(Q)$(PYTHON) ci/provenance.py --check

lint-fast: ## room table, purity of the pure rooms
	$(Q)ci/check-rooms $(DIR) $(LIB_OBJ)

lint: all lint-fast ## warnings as errors with gcc and clang, room table, purity
	$(Q)$(MAKE) VARIANT=clang WERROR=-Werror all
	$(Q)$(MAKE) VARIANT=debug WERROR=-Werror all

bench: all $(BENCH_BIN) ## measurements: a table and JSON lines, ratios to floors of the same run
	$(Q)$(PYTHON) bench/run.py --build $(DIR)

format: ## clang-format on all C files
	$(Q)clang-format -i $$(git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' 'fuzz/*.[ch]')

cover: ## line coverage of the C tests (build/cover)
	$(Q)$(MAKE) VARIANT=cover unit && gcov -n $(LIB_OBJ) >/dev/null 2>&1; true

install: all $(DIR)/libpbsref.so.0 $(DIR)/pbsref.1 $(DIR)/pbsref.bash ## install program, libraries, headers, pbsref.pc, man page, completion, conformance suite (DESTDIR= PREFIX=)
	install -D -m 755 $(PROG) $(DESTDIR)$(PREFIX)/bin/pbsref
	install -D -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/libpbsref.a
	install -D -m 755 $(DIR)/libpbsref.so.0 $(DESTDIR)$(PREFIX)/lib/libpbsref.so.0
	ln -sfn libpbsref.so.0 $(DESTDIR)$(PREFIX)/lib/libpbsref.so
	set -e; for h in $(foreach r,$(filter-out cli,$(ALL_ROOMS)),$(filter-out %_int.h,$(wildcard src/$(r)/*.h))); do \
	    install -D -m 644 $$h $(DESTDIR)$(PREFIX)/include/pbsref/$${h#src/}; done
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@VERSION@|$(VERSION)|g' src/cli/pbsref.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/pbsref.pc
	install -D -m 644 $(DIR)/pbsref.1 $(DESTDIR)$(PREFIX)/share/man/man1/pbsref.1
	install -D -m 644 $(DIR)/pbsref.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/pbsref
	install -d $(DESTDIR)$(PREFIX)/share/pbsref
	tar -c --exclude=__pycache__ --exclude=mutants --exclude='test_*.py' --owner=0 --group=0 $(SUITE) | tar -x --no-same-owner -C $(DESTDIR)$(PREFIX)/share/pbsref

clean: ## remove build/
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: all unit check mutants mutation check-e2e check-model check-asan check-tsan check-valgrind fuzz fuzz-all fuzz-min fuzz-replay spec-trace provenance lint-fast lint bench conform matrix \
        format cover install clean help
