# Everything here is one go command or a script of .ci; nothing needs make.

BENCH ?= .

.PHONY: all test test-race test-invariants test-long fuzz mutants powerloss soak lint bench ci

all: lint test

# The test command of the README.
test:
	go test ./...

test-race:
	CGO_ENABLED=1 go test -race -short ./...

test-invariants:
	go test -tags invariants ./...

# Everything, however long it takes: before an issue is closed, and before a release.
test-long:
	go test -timeout 4h -tags long,invariants ./...
	CGO_ENABLED=1 go test -timeout 4h -race ./...
	.ci/fuzz 5m

# Each target for so long: make fuzz TIME=10m
fuzz:
	.ci/fuzz $(or $(TIME),30s)

# Plants mistakes, and expects the test that is named for each to find it.
mutants:
	go test -tags long -count=1 -timeout 1h -v -run TestMutants ./internal/mutants

# Cuts the power of real file systems; Linux, root. make powerloss FLAGS='-ext4 1000 -seed 7'
powerloss:
	.ci/powerloss $(FLAGS)

# Everything at once, on real files, with kills: make soak TIME=1h FLAGS='-seed 7'
soak:
	go run -tags invariants ./internal/soak -time $(or $(TIME),10m) $(FLAGS)

lint:
	test -z "$$(gofmt -l .)"
	go vet ./...
	.ci/staticcheck ./...
	go test ./internal/lint

# make bench BENCH=Put
bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

ci:
	.ci/run
