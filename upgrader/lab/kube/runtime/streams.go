package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ioStreams carries a container's output to its log and to whoever is attached, and input to the container.
type ioStreams struct {
	input    *os.File // nil where the container wants none
	terminal *os.File // our side of the terminal, nil where there is none
	once     bool     // input ends with the first attachment
	child    [3]*os.File
	copies   sync.WaitGroup
	outputs  map[string]*output
}

// output is one stream of a container.
type output struct {
	log io.WriteCloser

	mu       sync.Mutex
	watchers []io.Writer
	failure  error
}

// newStreams makes pipes, or a terminal, as the container's config says, and begins to copy.
func newStreams(log *containerLog, config *rt.ContainerConfig) (*ioStreams, error) {
	s := &ioStreams{once: config.StdinOnce, outputs: map[string]*output{"stdout": {log: log.stream("stdout")}}}
	if config.Tty {
		return s, s.openTerminal(config.Stdin)
	}
	s.outputs["stderr"] = &output{log: log.stream("stderr")}
	if config.Stdin {
		reader, writer, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("stdin: %w", err)
		}
		s.input, s.child[0] = writer, reader
	}
	for i, name := range []string{"stdout", "stderr"} {
		reader, writer, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.child[i+1] = writer
		s.copies.Go(func() { s.outputs[name].copyFrom(reader) })
	}
	return s, nil
}

func (s *ioStreams) openTerminal(wantsInput bool) error {
	terminal, inside, err := openTerminal("/dev/ptmx")
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	s.terminal, s.child = terminal, [3]*os.File{inside, inside, inside}
	if wantsInput {
		s.input = terminal
	}
	s.copies.Go(func() { s.outputs["stdout"].copyFrom(terminal) })
	return nil
}

// attachTo gives the child's ends to a command. A missing stdin is /dev/null.
func (s *ioStreams) attachTo(command *exec.Cmd) {
	if s.child[0] != nil {
		command.Stdin = s.child[0]
	}
	command.Stdout, command.Stderr = s.child[1], s.child[2]
}

// closeChildEnds leaves the child as the only holder of its ends, so that its end is seen.
func (s *ioStreams) closeChildEnds() {
	for i, file := range s.child {
		if file != nil && !slices.Contains(s.child[:i], file) {
			_ = file.Close()
		}
	}
}

// drain waits for the end of the output, completes the log and says what went wrong with it.
func (s *ioStreams) drain() error {
	s.copies.Wait()
	if s.input != nil && s.input != s.terminal {
		_ = s.input.Close() // nobody reads it any more
	}
	failures := []error{}
	for _, out := range s.outputs {
		failures = append(failures, out.failure, out.log.Close())
	}
	return errors.Join(failures...)
}

// copyFrom ends with the last writer of the stream. A log that can't be written does not stop the container.
func (o *output) copyFrom(reader *os.File) {
	defer func() { _ = reader.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := reader.Read(buffer)
		if n > 0 {
			if _, failure := o.log.Write(buffer[:n]); failure != nil {
				o.failure = failure
			}
			o.show(buffer[:n])
		}
		if err != nil { // EOF of a pipe, EIO of a terminal
			return
		}
	}
}

// show passes output to the watchers; one that fails is dropped.
func (o *output) show(piece []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watchers = slices.DeleteFunc(o.watchers, func(w io.Writer) bool {
		_, err := w.Write(piece)
		return err != nil
	})
}

// watch adds a watcher and returns how to remove it.
func (o *output) watch(w io.Writer) func() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watchers = append(o.watchers, w)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.watchers = slices.DeleteFunc(o.watchers, func(other io.Writer) bool { return other == w })
	}
}
