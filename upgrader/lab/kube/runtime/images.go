package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ErrUnknownImage says that no prefix in the table fits an image name.
var ErrUnknownImage = errors.New("no program for this image in the image table")

// Program is what an image name stands for: a program of this machine.
type Program struct {
	// Entrypoint runs when the container names no command of its own.
	Entrypoint []string `json:"entrypoint"`
	// Env is the image's environment; the container's own wins.
	Env map[string]string `json:"env"`
	// Files maps a path in the container to a file or directory of this machine, laid over the root read-only.
	Files map[string]string `json:"files"`
	// Dir is the working directory where the container names none.
	Dir string `json:"dir"`
}

// ImageTable finds programs by image name; it follows changes of its file.
type ImageTable struct {
	path string

	mu       sync.Mutex
	seen     time.Time
	size     int64
	programs map[string]Program
}

// NewImageTable reads lazily: a missing or broken file is an error of each look-up, not of the start.
func NewImageTable(path string) *ImageTable {
	return &ImageTable{path: path}
}

// Lookup returns the program whose prefix of the image name is longest.
func (t *ImageTable) Lookup(image string) (Program, error) {
	programs, err := t.current()
	if err != nil {
		return Program{}, err
	}
	best, found := "", false
	for prefix := range programs {
		if strings.HasPrefix(image, prefix) && len(prefix) >= len(best) {
			best, found = prefix, true
		}
	}
	if !found {
		return Program{}, fmt.Errorf("%w: %q (table: %s)", ErrUnknownImage, image, t.path)
	}
	return programs[best], nil
}

func (t *ImageTable) current() (map[string]Program, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	if err != nil {
		return nil, fmt.Errorf("image table: %w", err)
	}
	if t.programs != nil && info.ModTime().Equal(t.seen) && info.Size() == t.size {
		return t.programs, nil
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return nil, fmt.Errorf("image table: %w", err)
	}
	programs, err := parsePrograms(text)
	if err != nil {
		return nil, fmt.Errorf("image table %s: %w", t.path, err)
	}
	t.programs, t.seen, t.size = programs, info.ModTime(), info.Size()
	return programs, nil
}

func parsePrograms(text []byte) (map[string]Program, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	programs := map[string]Program{}
	if err := decoder.Decode(&programs); err != nil {
		return nil, err
	}
	return programs, nil
}

// Images is the ImageManagerService over an ImageTable: nothing is ever fetched.
type Images struct {
	table *ImageTable

	mu   sync.Mutex
	used map[string]bool
}

// NewImages serves the images of a table.
func NewImages(table *ImageTable) *Images {
	return &Images{table: table, used: map[string]bool{}}
}

// ListImages returns the images that were asked for so far.
func (i *Images) ListImages(_ context.Context, filter *rt.ImageFilter) ([]*rt.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	images := []*rt.Image{}
	for name := range i.used {
		if wanted := filter.GetImage().GetImage(); wanted == "" || wanted == name {
			images = append(images, describeImage(name))
		}
	}
	slices.SortFunc(images, func(a, b *rt.Image) int { return strings.Compare(a.Id, b.Id) })
	return images, nil
}

// ImageStatus returns an empty answer, not an error, for an image without a program. All others are here already.
func (i *Images) ImageStatus(_ context.Context, image *rt.ImageSpec, _ bool) (*rt.ImageStatusResponse, error) {
	name := stripDigest(image.GetImage())
	if _, err := i.table.Lookup(name); err != nil {
		return &rt.ImageStatusResponse{}, nil
	}
	i.note(name)
	return &rt.ImageStatusResponse{Image: describeImage(name)}, nil
}

// PullImage succeeds for every image with a program. It fails with NotFound for any other.
func (i *Images) PullImage(_ context.Context, image *rt.ImageSpec, _ *rt.AuthConfig, _ *rt.PodSandboxConfig) (string, error) {
	name := stripDigest(image.GetImage())
	if _, err := i.table.Lookup(name); err != nil {
		return "", status.Error(codes.NotFound, err.Error())
	}
	i.note(name)
	return imageID(name), nil
}

func (i *Images) note(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used[name] = true
}

// RemoveImage forgets that the image was asked for; its program stays.
func (i *Images) RemoveImage(_ context.Context, image *rt.ImageSpec) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.used, stripDigest(image.GetImage()))
	return nil
}

// ImageFsInfo is empty: images take no room.
func (i *Images) ImageFsInfo(context.Context) (*rt.ImageFsInfoResponse, error) {
	return &rt.ImageFsInfoResponse{}, nil
}

// Close does nothing; the service lives in this process.
func (i *Images) Close(context.Context) error { return nil }

// describeImage names a user other than root, so that runAsNonRoot passes as it does with a well-made image.
func describeImage(name string) *rt.Image {
	return &rt.Image{
		Id: imageID(name), RepoTags: []string{name}, RepoDigests: []string{imageID(name)},
		Size: 1 << 20, Spec: &rt.ImageSpec{Image: name}, Uid: &rt.Int64Value{Value: 65532},
	}
}

// imageID makes a digest reference out of the name, which is all that tells local images apart.
func imageID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return name + "@sha256:" + hex.EncodeToString(sum[:])
}

// stripDigest undoes imageID; a digest that is part of the pod's own image name stays.
func stripDigest(name string) string {
	at := strings.LastIndex(name, "@sha256:")
	if at < 0 || imageID(name[:at]) != name {
		return name
	}
	return name[:at]
}
