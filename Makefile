# The commands of the house. `make` alone lists them.
GO ?= go
FUZZTIME ?= 10s
SOAK ?= 10m
# Clients of other makers: modules of their own, so that their libraries stay out of ours.
# Microsoft's library of Graph builds for a minute and a half on two cores, so it has a command of its own.
SLOW := e2e/graph
CLIENTS := $(filter-out $(SLOW),$(patsubst %/go.mod,%,$(wildcard e2e/*/go.mod)))
# The whole suite on two cores; a machine with more may raise it.
TESTTIME ?= 25m

.DEFAULT_GOAL := help
.PHONY: help lab build static peers clients test fast lint fuzz soak bench clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

lab: ## a whole world on this machine: hear a call
	$(GO) run ./cmd/tandem lab

build: ## the program, in bin/tandem, without a C compiler
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/tandem ./cmd/tandem

static: ## the program without the system's C library: no AMR, Opus, G.729
	CGO_ENABLED=0 $(GO) build -tags static -trimpath -o bin/tandem ./cmd/tandem

peers: ## install the real peers and codecs of the tests (Debian, as root); says what it cannot
	@./e2e/install-peers

clients: ## the clients that build slowly: Microsoft's library of Graph
	for m in $(SLOW); do (cd $$m && $(GO) vet ./... && $(GO) test -timeout 15m ./...) || exit 1; done

test: peers clients ## every ring: pure, bubble, world, real peers
	$(GO) build ./... # with all cores; the tests then run one package at a time, so that none starves another
	for m in $(CLIENTS); do (cd $$m && $(GO) test -timeout 15m ./...) || exit 1; done
	$(GO) test -timeout $(TESTTIME) -p 1 ./...

fast: ## the pure and the bubble rings only, within three minutes
	$(GO) test -short -timeout 3m ./...

lint: ## vet, formatting, staticcheck, shell
	$(GO) vet ./...
	for m in $(CLIENTS); do (cd $$m && $(GO) vet ./...) || exit 1; done
	@out=$$($(GO) tool gofumpt -l .); test -z "$$out" || { echo "not formatted (go tool gofumpt -w .):"; echo "$$out"; exit 1; }
	$(GO) tool staticcheck ./...

fuzz: ## each fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) ./.ci/fuzz

soak: ## calls of every kind in bad weather for SOAK (10m; 60m at night): nothing may grow
	TANDEM_SOAK=$(SOAK) $(GO) test -timeout 0 -count 1 -v -run '^TestSoak$$' ./e2e

bench: ## every benchmark, once
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean: ## what the other commands left
	rm -rf bin
