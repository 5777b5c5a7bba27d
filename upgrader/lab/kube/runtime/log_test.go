package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const stamp = "2026-08-01T10:00:00Z"

func logOf(t *testing.T) *containerLog {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC) }
	log, err := openLog(filepath.Join(t.TempDir(), "c", "0.log"), now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.close() })
	return log
}

func write(t *testing.T, log *containerLog, stream string, pieces ...string) {
	t.Helper()
	w := log.stream(stream)
	for _, piece := range pieces {
		if _, err := w.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, path string, want ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); got != strings.Join(want, "") {
		t.Errorf("got %.200q, want %.200q", got, strings.Join(want, ""))
	}
}

func TestEachLineCarriesItsStream(t *testing.T) {
	log := logOf(t)
	write(t, log, "stdout", "one\ntwo\n")
	write(t, log, "stderr", "three\n")
	expect(t, log.path, stamp+" stdout F one\n", stamp+" stdout F two\n", stamp+" stderr F three\n")
}

func TestALineWrittenInPiecesIsOneLine(t *testing.T) {
	log := logOf(t)
	write(t, log, "stdout", "a", "b", "c\n", "\n")
	expect(t, log.path, stamp+" stdout F abc\n", stamp+" stdout F \n")
}

func TestALineWithoutEndIsPartial(t *testing.T) {
	log := logOf(t)
	write(t, log, "stdout", "x\ntail")
	expect(t, log.path, stamp+" stdout F x\n", stamp+" stdout P tail\n")
}

func TestALongLineIsCut(t *testing.T) {
	log := logOf(t)
	write(t, log, "stdout", strings.Repeat("x", maxLogLine+3)+"\n")
	expect(t, log.path, stamp+" stdout P "+strings.Repeat("x", maxLogLine)+"\n", stamp+" stdout F xxx\n")
}

func TestALineOfExactlyTheLimitIsWhole(t *testing.T) {
	log := logOf(t)
	write(t, log, "stdout", strings.Repeat("x", maxLogLine)+"\n")
	expect(t, log.path, stamp+" stdout F "+strings.Repeat("x", maxLogLine)+"\n")
}

func TestARotatedLogGoesOnInANewFile(t *testing.T) {
	log := logOf(t)
	write(t, log, "stdout", "old\n")
	if err := os.Rename(log.path, log.path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := log.reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, log, "stdout", "new\n")
	expect(t, log.path+".1", stamp+" stdout F old\n")
	expect(t, log.path, stamp+" stdout F new\n")
}
