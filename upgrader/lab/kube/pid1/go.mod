// A module of its own for the sake of its name: see pid1.go.
module a.upgrader.dev/pid1

go 1.26.0

require (
	github.com/cyphar/filepath-securejoin v0.7.0
	golang.org/x/sys v0.49.0
)
