// Command lab is a whole Kubernetes in one binary: which program it is depends on the name it is called by, else on its
// first argument. Link it with -X k8s.io/component-base/version.gitVersion=vX.Y.Z (also gitMajor, gitMinor).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"a.upgrader.dev/pid1"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // as in the components' own mains
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // as in the components' own mains
	_ "k8s.io/component-base/metrics/prometheus/version"  // as in the components' own mains
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"upgrader.dev/lab/addons"
	"upgrader.dev/lab/node"
	"upgrader.dev/lab/room"
)

// programs by name; each runs with os.Args[0] as its own name and returns the exit code.
var programs = map[string]func() int{
	"etcd":                    runEtcd,
	"kube-apiserver":          cobraProgram(apiserver.NewAPIServerCommand),
	"kube-controller-manager": cobraProgram(controllers.NewControllerManagerCommand),
	"kube-scheduler":          cobraProgram(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kube-proxy":              cobraProgram(proxy.NewProxyCommand),
	"kubectl":                 runKubectl,
	"helm":                    runHelm,
	"kubelet":                 func() int { return node.Main(os.Args[1:], os.Stderr) },
	"lab-addons":              func() int { return addons.Main(os.Args[1:], os.Stderr) },
	"lab-room":                runRoom,
	"version":                 runVersion,
	pid1.Name:                 runContainer, // by argv[1] only: by its own name it is gone already
}

func main() {
	name := filepath.Base(os.Args[0])
	program, ok := programs[name]
	if !ok && len(os.Args) > 1 {
		name = os.Args[1]
		if program, ok = programs[name]; ok {
			os.Args = append([]string{name}, os.Args[2:]...)
		}
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "unknown program %q; known: %s\n", name, strings.Join(names(), " "))
		os.Exit(2)
	}
	os.Exit(program())
}

func names() []string {
	known := []string{}
	for name := range programs {
		known = append(known, name)
	}
	slices.Sort(known)
	return known
}

func cobraProgram(command func() *cobra.Command) func() int {
	return func() int { return cli.Run(command()) }
}

// runKubectl does what kubectl's own main does.
func runKubectl() int {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
	return 0
}

func runEtcd() int {
	etcdmain.Main(os.Args)
	return 0
}

func runContainer() int {
	pid1.Main()
	return 0
}

func runRoom() int {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		return runVersion()
	}
	return room.Main(os.Args[1:], os.Stderr)
}

func runVersion() int {
	if err := printVersions(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	return 0
}
