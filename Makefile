# The course pack's commands. `make` alone lists them. Written for GNU make 3.81 and later.
#
# make decides what has to run: a section's executed notebook depends on its notebook, the package
# and a stamp of the parameters and the data. `python -m cvhelpers run` does the running.

# --- what a user may set -------------------------------------------------------------------------
PROFILE ?= auto
SOURCE ?= auto
SEED ?= 0
NAME ?=
ifeq ($(origin NAME),environment)
NAME := # some systems keep the computer's name there
endif
ONLY ?=
ARGS ?=
LAUNCH ?=
JOBS ?= 2
BASE_PYTHON ?= python3
PIP_ARGS ?=
CONSTRAINTS ?=
export ARGS

# PYTHON=python uses the active environment; otherwise .venv is made first, once. A file of
# constraints gets an environment of its own, and the warnings of old libraries are no errors there.
VENV := .venv$(if $(CONSTRAINTS),-$(basename $(notdir $(CONSTRAINTS))))
ifdef PYTHON
READY :=
else
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
endif
PYTEST := $(PYTHON) -m pytest $(if $(CONSTRAINTS),-W default)
CV := $(PYTHON) -m cvhelpers

.DEFAULT_GOAL := help
.PHONY: help setup run-all run report gallery results template submit nbgrader grade links lab data test \
  test-twice test-browser lint clean doctor sections

help:
	@echo "make run-all    run every notebook that is not up to date, then write the report"
	@echo "make test       test the package, then run every notebook in profile smoke"
	@echo "make run        run one notebook:  make run SECTION=2_caltech101/1_lenet5"
	@echo "make report     write runs/NAME/report.html again (COMPARE=OTHER: what changed since)"
	@echo "make gallery    a small site of a run, for a web host:  make gallery NAME=full"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make data       download the data sets (DATA=\"caltech101 cifar10\": only these)"
	@echo "make test-twice run every notebook with every cell doubled, in profile smoke"
	@echo "make test-browser  run every notebook in JupyterLab and move its sliders (needs Chromium)"
	@echo "make template   a notebook without solutions:"
	@echo "                make template ASSIGNMENT=2_caltech101 STUDENT=\"Ada Lovelace\""
	@echo "                (SECTION=2_caltech101/1_lenet5: that section alone)"
	@echo "make submit     what a course asks for:  make submit NOTEBOOK=templates/x_Ada_Lovelace.ipynb"
	@echo "                (ANYWAY=1: with gaps, for partial credit; SHRINK=1: smaller pictures)"
	@echo "make grade      run a folder of hand-ins, one table:  make grade SUBMISSIONS=folder"
	@echo "make nbgrader   an assignment for nbgrader:  make nbgrader ASSIGNMENT=2_caltech101"
	@echo "make links      point badges at a repository:  make links REPO=owner/name"
	@echo "make results    copy a run's evidence to results/ and rewrite the README's table"
	@echo "make doctor     what is installed, present and missing: for bug reports"
	@echo "make setup      make .venv (the others do so when they need it)"
	@echo "make lint       style, types and the package's size"
	@echo "make clean      remove caches; .venv, data and runs stay"
	@echo ""
	@echo "Set with VARIABLE=value behind make:"
	@echo "  PROFILE  smoke, quick, full or auto (full with a GPU, else quick)     [$(PROFILE)]"
	@echo "  SOURCE   real, sample or auto (real if it lies in data/)              [$(SOURCE)]"
	@echo "  SEED     the random seed                                              [$(SEED)]"
	@echo "  NAME     folder under runs/ (default: the profile)"
	@echo "  ONLY     run-all: one assignment or section, e.g. ONLY=2_caltech101"
	@echo "  ARGS     further arguments, e.g. ARGS=\"-p epochs 3 --timeout 600\""
	@echo "  LAUNCH   put before each notebook's command; with it, name the PROFILE:"
	@echo "           make -j32 run-all PROFILE=full LAUNCH=\"srun --gpus=1\""
	@echo "  PYTHON   PYTHON=python uses the active environment instead of .venv"
	@echo "  PIP_ARGS further arguments of pip, for setup"
	@echo "  CONSTRAINTS  a file of versions, for an environment of its own:"
	@echo "           make test CONSTRAINTS=constraints-oldest.txt"

# --- environment ---------------------------------------------------------------------------------
setup: $(READY)
	@echo "ready: $(PYTHON)"

# The empty file is written last: an interrupted installation does not count. torch and torchvision
# come in one command with all the rest, because they must fit each other.
$(VENV)/.ready: pyproject.toml $(CONSTRAINTS)
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "Python 3.10 or newer is needed, but $(BASE_PYTHON) is: $$($(BASE_PYTHON) --version 2>&1)"; \
	  echo "Name another one, e.g. make BASE_PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV), once: PyTorch and Jupyter are downloaded and installed."
	@echo "This takes 2 to 10 minutes; interrupted, it starts again with the next command."
	@rm -f $@
	@$(BASE_PYTHON) -m venv $(VENV) || { \
	  echo "No virtual environment; on Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off \
	  $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) $(PIP_ARGS) -e ".[lab,submit,grade,test]" >$(VENV)/install.log 2>&1 || { \
	  tail -n 40 $(VENV)/install.log; echo "The installation failed; all it said: $(VENV)/install.log"; \
	  exit 1; }
	@touch $@

# --- running -------------------------------------------------------------------------------------
SECTIONS := $(patsubst notebooks/%.ipynb,%,$(sort $(wildcard notebooks/[0-9]*/[0-9]*.ipynb)))
ONLY_ID := $(patsubst notebooks/%,%,$(patsubst %.ipynb,%,$(patsubst %/,%,$(ONLY))))
SELECTED := $(if $(ONLY_ID),$(filter $(ONLY_ID) $(ONLY_ID)/%,$(SECTIONS)),$(SECTIONS))
RUN = $(CV) run --source $(SOURCE) --seed $(SEED) $(if $(NAME),--name $(NAME)) $(ARGS)

ifneq ($(filter run-all,$(MAKECMDGOALS)),)
ifeq ($(SELECTED),)
$(error ONLY=$(ONLY) selects nothing; choose from: $(sort $(dir $(SECTIONS))) $(SECTIONS))
endif
ifneq ($(LAUNCH),)
ifeq ($(PROFILE),auto)
$(error With LAUNCH the notebooks run elsewhere: name the profile, e.g. PROFILE=full)
endif
endif
endif

# run-all resolves profile and name and writes the stamps; a second make, in which the names of the
# targets are known, then does what is left. The report comes also after failures.
run-all: $(READY)
	@resolved=$$($(CV) stamp --profile "$(PROFILE)" --source "$(SOURCE)" --seed "$(SEED)" \
	  $(if $(NAME),--name "$(NAME)") --args="$$ARGS") || exit 1; \
	name=$${resolved#NAME=}; name=$${name%% *}; \
	if $(MAKE) --question sections $$resolved >/dev/null 2>&1; then \
	  echo "runs/$$name: everything is up to date"; \
	  test -e runs/$$name/report.html || $(CV) report --name $$name; \
	else \
	  $(MAKE) --no-print-directory --keep-going sections $$resolved; status=$$?; \
	  $(CV) report --name $$name; exit $$status; \
	fi

# done: the executed notebooks of sections, e.g. $(call done,2_caltech101/1_lenet5)
done = $(foreach section,$(1),runs/$(NAME)/$(section)/$(notdir $(section)).ipynb)

ifneq ($(NAME),)
define section_rule
$(call done,$(1)): runs/$(NAME)/$(1)/stamp.txt
	@$$(LAUNCH) $$(RUN) --profile $$(PROFILE) $(1)
endef
$(foreach section,$(SECTIONS),$(eval $(call section_rule,$(section))))

# What starts from another section's checkpoint comes after it: the manifest says so, and `stamp`
# writes it down for make.
-include runs/$(NAME)/after.mk
endif

sections: $(call done,$(SELECTED))

run: $(READY)
	$(if $(SECTION),,$(error name the notebook: make run SECTION=2_caltech101/1_lenet5))
	@$(LAUNCH) $(RUN) --profile $(PROFILE) $(SECTION)

report: $(READY)
	@$(CV) report $(if $(NAME),--name $(NAME)) $(if $(COMPARE),--compare $(COMPARE))

gallery: $(READY)
	@$(CV) gallery $(if $(NAME),--name $(NAME)) $(if $(OUT),--out "$(OUT)")

results: $(READY)
	@$(CV) results $(if $(NAME),--name $(NAME)) $(if $(BESIDE),--beside $(BESIDE))

# --- the rest ------------------------------------------------------------------------------------
template: $(READY)
	$(if $(and $(ASSIGNMENT)$(SECTION),$(STUDENT)),,$(error make template ASSIGNMENT=... STUDENT="Ada Lovelace"))
	@$(CV) template "$(or $(ASSIGNMENT),$(firstword $(subst /, ,$(SECTION))))" --student "$(STUDENT)" $(if $(SECTION),--section "$(SECTION)")

submit: $(READY)
	$(if $(NOTEBOOK),,$(error make submit NOTEBOOK=templates/caltech101_Ada_Lovelace.ipynb))
	@$(CV) submit $(if $(word 2,$(wildcard $(NOTEBOOK))),$(NOTEBOOK),"$(NOTEBOOK)") \
	  $(if $(filter-out 0 no,$(ANYWAY)),--anyway) $(if $(filter-out 0 no,$(SHRINK)),--shrink)

nbgrader: $(READY)
	$(if $(ASSIGNMENT),,$(error make nbgrader ASSIGNMENT=2_caltech101))
	@$(CV) nbgrader "$(ASSIGNMENT)"

grade: $(READY)
	$(if $(SUBMISSIONS),,$(error make grade SUBMISSIONS=folder))
	@$(CV) grade "$(SUBMISSIONS)" $(ARGS)

links: $(READY)
	$(if $(REPO),,$(error make links REPO=owner/name))
	@$(CV) links "$(REPO)"

# On localhost alone and with a token, as JupyterLab does by itself: nobody else gets in.
lab: $(READY)
	$(PYTHON) -m jupyter lab --ServerApp.root_dir="$(CURDIR)" \
	  --LabApp.default_url=/lab/tree/notebooks/index.ipynb $(ARGS)

data: $(READY)
	@$(CV) data $(or $(DATA),all)

doctor: $(READY)
	@$(CV) doctor

# One thread a process: two processes of one thread beat one of two. The notebooks leave their
# files in runs/test, which is emptied first: a checkpoint found there would spare them training.
test: $(READY)
	@rm -rf runs/test; status=0; export OMP_NUM_THREADS=1; \
	$(PYTEST) -n $(JOBS) tests || status=1; \
	CVHELPERS_PROFILE=smoke CVHELPERS_SOURCE=sample CVHELPERS_HEADLESS=1 \
	  CVHELPERS_RUN_DIR="$(CURDIR)/runs/test" \
	  $(PYTEST) -n $(JOBS) --nbmake notebooks || status=1; \
	exit $$status

test-twice: $(READY)
	@OMP_NUM_THREADS=1 CVHELPERS_ALL_TWICE=1 $(PYTEST) -n $(JOBS) tests/test_notebooks_twice.py

# Every notebook in JupyterLab and a browser; three of them are in `make test`.
test-browser: $(READY)
	@OMP_NUM_THREADS=1 CVHELPERS_ALL_BROWSER=1 $(PYTEST) tests/test_browser.py

lint: $(READY)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) tests/count_lines.py

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	find cvhelpers tests notebooks -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) \
	  -prune -exec rm -rf {} +
	@echo "kept: .venv, data/ and runs/ (remove them by hand)"
