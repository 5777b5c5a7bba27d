package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
)

// embedded names the modules whose versions tell what the lab is.
var embedded = map[string]string{
	"k8s.io/kubernetes":         "kubernetes",
	"go.etcd.io/etcd/server/v3": "etcd",
	"helm.sh/helm/v4":           "helm",
}

// printVersions writes {"etcd": ..., "helm": ..., "kubernetes": ...} as JSON, read from what the linker recorded.
func printVersions(out io.Writer) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this binary was built without module information")
	}
	versions := map[string]string{}
	for _, module := range info.Deps {
		if name, ok := embedded[module.Path]; ok {
			versions[name] = module.Version
		}
	}
	text, err := json.Marshal(versions)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, string(text))
	return err
}
