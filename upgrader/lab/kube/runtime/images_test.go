package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func tableOf(t *testing.T, text string) *ImageTable {
	t.Helper()
	path := filepath.Join(t.TempDir(), "images.json")
	writeTable(t, path, text, time.Unix(1000, 0))
	return NewImageTable(path)
}

func writeTable(t *testing.T, path, text string, changed time.Time) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
}

func TestTheLongestPrefixWins(t *testing.T) {
	table := tableOf(t, `{"": {"entrypoint": ["any"]}, "demo/": {"entrypoint": ["demo"]}, "demo/gateway:1.11.30": {"entrypoint": ["new"]}}`)
	for image, want := range map[string]string{
		"demo/gateway:1.11.30": "new", "demo/gateway:1.11.28": "demo", "busybox:latest": "any",
	} {
		program, err := table.Lookup(image)
		if err != nil || program.Entrypoint[0] != want {
			t.Errorf("%s: got %v, %v; want %s", image, program.Entrypoint, err, want)
		}
	}
}

func TestAnImageWithoutAProgramIsUnknown(t *testing.T) {
	table := tableOf(t, `{"demo/": {}}`)
	if _, err := table.Lookup("other/x:1"); !errors.Is(err, ErrUnknownImage) {
		t.Fatalf("got %v", err)
	}
}

func TestATableThatChangesIsReadAgain(t *testing.T) {
	table := tableOf(t, `{"a": {"entrypoint": ["old"]}}`)
	if _, err := table.Lookup("b"); err == nil {
		t.Fatal("b is known too early")
	}
	writeTable(t, table.path, `{"b": {"entrypoint": ["new"]}}`, time.Unix(2000, 0))
	if program, err := table.Lookup("b"); err != nil || program.Entrypoint[0] != "new" {
		t.Fatalf("got %v, %v", program, err)
	}
}

func TestABrokenTableIsNamedInTheError(t *testing.T) {
	for text, word := range map[string]string{`{"a": {`: "EOF", `{"a": {"command": []}}`: "command"} {
		table := tableOf(t, text)
		_, err := table.Lookup("a")
		if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), table.path) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestPullingAnUnknownImageIsNotFound(t *testing.T) {
	images := NewImages(tableOf(t, `{"demo/": {}}`))
	if _, err := images.PullImage(context.Background(), &rt.ImageSpec{Image: "other:1"}, nil, nil); status.Code(err) != codes.NotFound {
		t.Fatalf("got %v", err)
	}
	response, err := images.ImageStatus(context.Background(), &rt.ImageSpec{Image: "other:1"}, false)
	if err != nil || response.Image != nil {
		t.Fatalf("got %v, %v", response, err)
	}
}

func TestAnImageIsFoundByTheReferenceThatPullingGave(t *testing.T) {
	images := NewImages(tableOf(t, `{"demo/": {}}`))
	reference, err := images.PullImage(context.Background(), &rt.ImageSpec{Image: "demo/x:1"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := images.ImageStatus(context.Background(), &rt.ImageSpec{Image: reference}, false)
	if err != nil || response.Image == nil || response.Image.Id != reference {
		t.Fatalf("got %v, %v", response, err)
	}
}

func TestADigestThatIsPartOfTheNameStays(t *testing.T) {
	pinned := "demo/x@sha256:" + strings.Repeat("0", 64)
	if got := stripDigest(imageID(pinned)); got != pinned {
		t.Errorf("got %s", got)
	}
	if got := stripDigest(pinned); got != pinned {
		t.Errorf("got %s", got)
	}
}
