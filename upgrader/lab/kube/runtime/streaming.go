package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// dialTimeout bounds the connection to a port on a pod's own loopback.
const dialTimeout = 5 * time.Second

// serveStreams offers exec, attach and port-forward to the kubelet on a loopback port that the kernel chooses.
func serveStreams(r *Runtime) (streaming.Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("streaming server: %w", err)
	}
	config := streaming.DefaultConfig
	config.Addr = listener.Addr().String()
	config.BaseURL = &url.URL{Scheme: "http", Host: config.Addr}
	server, err := streaming.NewServer(config, streamBackend{r})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("streaming server: %w", err), listener.Close())
	}
	go func() {
		// The listener is never closed while the process lives, so that Serve returns only on a broken socket; clients
		// then see refused connections.
		_ = (&http.Server{Handler: server, ReadHeaderTimeout: dialTimeout}).Serve(listener)
	}()
	return server, nil
}

// Exec implements the CRI: it returns where the kubelet finds the stream.
func (r *Runtime) Exec(_ context.Context, request *rt.ExecRequest) (*rt.ExecResponse, error) {
	if _, _, err := r.running(request.ContainerId); err != nil {
		return nil, err
	}
	return r.streams.GetExec(request)
}

// Attach implements the CRI: it returns where the kubelet finds the stream.
func (r *Runtime) Attach(_ context.Context, request *rt.AttachRequest) (*rt.AttachResponse, error) {
	if _, _, err := r.running(request.ContainerId); err != nil {
		return nil, err
	}
	return r.streams.GetAttach(request)
}

// PortForward implements the CRI: it returns where the kubelet finds the stream.
func (r *Runtime) PortForward(_ context.Context, request *rt.PortForwardRequest) (*rt.PortForwardResponse, error) {
	if _, err := r.sandbox(request.PodSandboxId); err != nil {
		return nil, err
	}
	return r.streams.GetPortForward(request)
}

// streamBackend is the streaming server's view of the runtime.
type streamBackend struct{ runtime *Runtime }

// Exec runs a command with its streams connected, in a terminal if one is asked for.
func (b streamBackend) Exec(ctx context.Context, id string, command []string, in io.Reader, out, errOut io.WriteCloser, tty bool, sizes <-chan remotecommand.TerminalSize) error {
	if tty {
		return b.execInTerminal(ctx, id, command, in, out, sizes)
	}
	return b.runtime.run(ctx, id, command, func(c *exec.Cmd) error {
		if out != nil {
			c.Stdout = out
		}
		if errOut != nil {
			c.Stderr = errOut
		}
		return feed(c, in)
	})
}

// feed copies input beside the command: exec.Cmd itself would wait for a client that never ends its input.
func feed(c *exec.Cmd, in io.Reader) error {
	if in == nil {
		return nil
	}
	pipe, err := c.StdinPipe()
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(pipe, in) // ends with the client or the command; neither is an error of the other
		_ = pipe.Close()
	}()
	return nil
}

func (b streamBackend) execInTerminal(ctx context.Context, id string, command []string, in io.Reader, out io.Writer, sizes <-chan remotecommand.TerminalSize) error {
	var ours, inside *os.File
	shown := make(chan struct{})
	failure := b.runtime.run(ctx, id, command, func(c *exec.Cmd) (err error) {
		if ours, inside, err = openTerminal("/dev/ptmx"); err != nil {
			return err
		}
		c.Stdin, c.Stdout, c.Stderr = inside, inside, inside
		c.SysProcAttr.Setctty = true
		go resize(ours, sizes)
		if in != nil {
			go func() { _, _ = io.Copy(ours, in) }() // ends with the client or the terminal
		}
		go func() {
			defer close(shown)
			if out != nil {
				_, _ = io.Copy(out, ours) // EIO when the last program has left the terminal
			}
		}()
		return nil
	})
	if ours != nil {
		_ = inside.Close()
		_ = ours.SetReadDeadline(time.Now().Add(outputPatience)) // for what programs left behind keep open
		<-shown
		_ = ours.Close()
	}
	return failure
}

// Attach shows the output of a container's first process from now on, and feeds its input.
func (b streamBackend) Attach(ctx context.Context, id string, in io.Reader, out, errOut io.WriteCloser, _ bool, sizes <-chan remotecommand.TerminalSize) error {
	_, c, err := b.runtime.running(id)
	if err != nil {
		return err
	}
	for name, watcher := range map[string]io.Writer{"stdout": out, "stderr": errOut} {
		if stream, ok := c.streams.outputs[name]; ok && watcher != nil {
			defer stream.watch(watcher)()
		}
	}
	if c.streams.terminal != nil {
		go resize(c.streams.terminal, sizes)
	}
	if in != nil && c.streams.input != nil {
		go func() {
			_, _ = io.Copy(c.streams.input, in)
			if c.streams.once && c.streams.terminal == nil {
				_ = c.streams.input.Close()
			}
		}()
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PortForward connects to a port on the pod's own loopback, as on any cluster.
func (b streamBackend) PortForward(ctx context.Context, sandboxID string, port int32, stream io.ReadWriteCloser) error {
	s, err := b.runtime.sandbox(sandboxID)
	if err != nil {
		return err
	}
	connection, err := dialLoopback(ctx, s.network, port)
	if err != nil {
		return err
	}
	return splice(connection, stream)
}

func dialLoopback(ctx context.Context, network podNetwork, port int32) (*net.TCPConn, error) {
	var connection net.Conn
	err := network.do(func() error {
		dialer := net.Dialer{Timeout: dialTimeout}
		var v4, v6 error
		// A literal address is dialled by the calling thread, which is in the pod's network.
		if connection, v4 = dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port)); v4 == nil {
			return nil
		}
		connection, v6 = dialer.DialContext(ctx, "tcp", fmt.Sprintf("[::1]:%d", port))
		if v6 != nil {
			return v4
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("port-forward to %d: %w", port, err)
	}
	return connection.(*net.TCPConn), nil
}

// splice copies both ways until both are over.
func splice(connection *net.TCPConn, stream io.ReadWriteCloser) error {
	defer func() { _ = connection.Close() }()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(connection, stream)
		sent <- errors.Join(err, connection.CloseWrite())
	}()
	_, received := io.Copy(stream, connection)
	if err := stream.Close(); err != nil && received == nil {
		received = err
	}
	<-sent // a client that hangs up early is no error of the pod's
	return received
}
