package runtime

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxLogLine is where a line is cut into partial ones, in bytes (containerd's default).
const maxLogLine = 16 << 10

// containerLog is a container's log file in CRI format, shared by its two streams.
type containerLog struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	file *os.File
}

// openLog appends to the file; its directory is made where missing.
func openLog(path string, now func() time.Time) (*containerLog, error) {
	l := &containerLog{path: path, now: now}
	if err := l.reopen(); err != nil {
		return nil, err
	}
	return l, nil
}

// reopen goes on in a new file of the same name, after rotation.
func (l *containerLog) reopen() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close() // the old file was rotated away: nothing to do about it
	}
	l.file = file
	return nil
}

func (l *containerLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// stream returns a writer for "stdout" or "stderr". Close writes what is left of an unfinished line.
func (l *containerLog) stream(name string) io.WriteCloser {
	return &logStream{log: l, name: name}
}

// write puts one line or piece of a line; tag is F for a whole line or its last piece, P for a piece that goes on.
func (l *containerLog) write(stream, tag string, content []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := fmt.Fprintf(l.file, "%s %s %s %s\n", l.now().Format(time.RFC3339Nano), stream, tag, content)
	return err
}

type logStream struct {
	log     *containerLog
	name    string
	pending []byte
}

// Write implements io.Writer. It is called by one goroutine a stream.
func (s *logStream) Write(p []byte) (int, error) {
	s.pending = append(s.pending, p...)
	for {
		end := bytes.IndexByte(s.pending, '\n')
		tag, skip := "F", 1
		if end < 0 || end > maxLogLine {
			if len(s.pending) < maxLogLine {
				return len(p), nil
			}
			end, tag, skip = maxLogLine, "P", 0
		}
		if err := s.log.write(s.name, tag, s.pending[:end]); err != nil {
			return 0, err
		}
		s.pending = s.pending[end+skip:]
	}
}

// Close implements io.Closer.
func (s *logStream) Close() error {
	if len(s.pending) == 0 {
		return nil
	}
	defer func() { s.pending = nil }()
	return s.log.write(s.name, "P", s.pending)
}
