package runtime

import (
	"os/exec"
	goruntime "runtime"
)

// launcher starts containers from one thread that lives as long as the process: a container asks the kernel to be killed
// with the thread that started it (Pdeathsig), and any other thread of a Go program may end early.
type launcher struct {
	orders chan order
}

type order struct {
	command *exec.Cmd
	done    chan error
}

func newLauncher() *launcher {
	l := &launcher{orders: make(chan order)}
	go func() {
		goruntime.LockOSThread()
		for o := range l.orders {
			o.done <- o.command.Start()
		}
	}()
	return l
}

func (l *launcher) start(command *exec.Cmd) error {
	o := order{command: command, done: make(chan error, 1)}
	l.orders <- o
	return <-o.done
}
