# One set of flags everywhere, so that nothing is compiled twice: a binary, a
# test and the linter share the build cache. The version comes from -ldflags.
export GOFLAGS     := -trimpath -buildvcs=false
export CGO_ENABLED := 0

BIN     := $(CURDIR)/bin
BUF     ?= $(BIN)/buf
LINTER  ?= $(BIN)/golangci-lint
PLUGINS := $(addprefix $(BIN)/,protoc-gen-go protoc-gen-go-grpc protoc-gen-grpc-gateway protoc-gen-openapiv2)
STRIP   := -ldflags '-s -w'
VERSION  = $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

PKG      ?= ./...
RUN      ?=
RACE     ?= ./...
# SQLite is C that was turned into Go: to look into it as well would take twice as long.
NORACE    = -gcflags='modernc.org/...=-race=false'
FUZZTIME ?= 20s
BASE     ?= main

.DEFAULT_GOAL := help
.PHONY: help tools build run test test-clients session race fuzz bench faults faults-planted lint gen breaking check fresh tidy

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build bin/identity: static, stripped, stamped with the version
	go build -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/identity ./cmd/identity

run: build ## serve on this machine, with SQLite under .data
	@mkdir -p -m 0700 .data
	IDENTITY_DATABASE_URL=sqlite:.data/identity.db IDENTITY_SMTP_URL=file:.data/outbox IDENTITY_SMS_URL=file:.data/outbox $(BIN)/identity serve

test: ## run the tests on SQLite and PostgreSQL (RUN=Name picks some, PKG=./store one package)
	go test -timeout 25m $(if $(RUN),-run '$(RUN)') $(PKG)

test-clients: ## run unmodified OAuth clients of Go and npm against the binary (needs node 20 or newer)
	cd clients && npm ci && go test -count=1 $(if $(RUN),-run '$(RUN)') ./...

session: $(BUF) ## play both sessions of README, curl and gRPC, against a server
	go test -tags buf -run TestReadme ./cmd/identity

race: ## run the tests under the race detector, with fewer rounds (RACE=packages, RUN=Name; needs a C compiler)
	CGO_ENABLED=1 go test -timeout 25m -race $(NORACE) $(if $(RUN),-run '$(RUN)') $(RACE)

fuzz: ## fuzz every Fuzz function in turn, FUZZTIME=20s each
	@grep -rEo --include='*_test.go' --exclude-dir=tools '^func Fuzz[A-Za-z0-9_]+' . | sed 's/:func / /' | \
	while read -r file name; do \
		echo "$$name in $$file"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" || exit 1; \
	done

bench: ## measure the service on PostgreSQL against floors (BENCH=-quick, BENCH='-only check -profile FOLDER')
	@go run ./bench $(BENCH)

faults: ## break servers, database and network under load and check what they promised (FAULTS=-short, FAULTS='-seed 7 -only cuts')
	@go run ./faults $(FAULTS)

faults-planted: ## plant bugs in the service, one after the other: the checks of faults must find each
	@go run ./faults -planted $(FAULTS)

lint: $(BUF) $(LINTER) .protodeps/.done ## lint and check the format of the contract and the code
	$(BUF) lint proto
	$(BUF) format proto --diff --exit-code
	$(LINTER) run

gen: $(BUF) $(PLUGINS) .protodeps/.done ## make gen/ from proto/
	rm -rf gen/bizmetry gen/openapi
	$(BUF) generate
	$(BUF) build proto --exclude-imports --as-file-descriptor-set -o gen/descriptors.binpb

breaking: $(BUF) .protodeps/.done ## compare the contract with that of BASE=main
	rm -rf .build/against && mkdir -p .build/against
	git archive $(BASE) buf.yaml proto | tar -x -C .build/against
	ln -s $(CURDIR)/.protodeps .build/against/.protodeps
	$(BUF) breaking proto --against .build/against/proto

check: fresh tidy lint test ## what has to pass before a change is merged

fresh: gen ## prove that gen/ is what proto/ makes
	git diff --exit-code --stat -- gen
	@test -z "$$(git ls-files --others --exclude-standard gen)" || { echo "gen/ has files that are not committed" >&2; exit 1; }

tidy: ## prove that go.mod and go.sum are tidy
	go mod tidy -diff

tools: $(BUF) $(LINTER) $(PLUGINS) .protodeps/.done ## build buf, the linter and the generators into bin/

# The tools, each pinned by a go.mod. The generators are pinned by the service's
# own, because their versions have to match the code that they make.

$(BIN)/buf: tools/buf/go.mod tools/buf/go.sum
	cd tools/buf && go build $(STRIP) -o $@ github.com/bufbuild/buf/cmd/buf

$(BIN)/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	cd tools/lint && go build $(STRIP) -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(PLUGINS) &: go.mod go.sum
	go build $(STRIP) -o $(BIN)/ $$(go list tool | grep protoc-gen)
	@touch $(PLUGINS)

.protodeps/.done: tools/protodeps/main.go tools/protodeps/go.mod tools/protodeps/go.sum
	rm -rf .protodeps && mkdir -p .protodeps
	cd tools/protodeps && go run . $(CURDIR)/.protodeps
	@touch $@
