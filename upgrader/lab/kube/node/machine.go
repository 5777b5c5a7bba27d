package node

import (
	"bufio"
	"os"
	"strings"
	"time"

	cadvisorapi "github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	cadvisortest "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
)

// What a node claims to have. Requests are scheduled against it, nothing is enforced; it is large, so that charts with
// production requests fit.
const (
	cores       = 64
	memoryBytes = 256 << 30
	diskBytes   = 1 << 40
)

// machine stands in for cadvisor, which needs cgroups.
type machine struct{ cadvisortest.Fake }

// MachineInfo returns the claimed size.
func (*machine) MachineInfo(klog.Logger) (*cadvisorapi.MachineInfo, error) {
	return &cadvisorapi.MachineInfo{NumCores: cores, MemoryCapacity: memoryBytes, InstanceID: "lab"}, nil
}

// RootFsInfo returns a disk that is half empty.
func (*machine) RootFsInfo() (cadvisorapi.FsInfo, error) {
	return cadvisorapi.FsInfo{Capacity: diskBytes, Available: diskBytes / 2, Timestamp: time.Now()}, nil
}

// VersionInfo tells what the lab runs on.
func (*machine) VersionInfo() (*cadvisorapi.VersionInfo, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	return &cadvisorapi.VersionInfo{KernelVersion: unix.ByteSliceToString(name.Release[:]), ContainerOsVersion: systemName()}, nil
}

// systemName is the PRETTY_NAME of os-release(5), or "Linux" where there is none.
func systemName() string {
	file, err := os.Open("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return "Linux"
}
