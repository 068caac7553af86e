// Package clients has go-redis against a real server. KVARTS_BIN names the binary.
package clients

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startLimit = 30 * time.Second
	stopLimit  = 10 * time.Second
	limit      = 10 * time.Second
)

// Server is one on two free ports of the loopback interface, with a data directory of its own, for as long as a test runs.
type Server struct {
	Port, ReadOnlyPort int
	// Folder of the data, with the certificate authority in tls.
	Folder string
	log    syncBuffer
}

// Start returns once the server answers on both ports.
func Start(t *testing.T, flags ...string) *Server {
	t.Helper()
	binary := os.Getenv("KVARTS_BIN")
	if binary == "" {
		t.Fatal("KVARTS_BIN must name the server's binary")
	}
	server := &Server{Folder: t.TempDir()}
	server.Port, server.ReadOnlyPort = twoFreePorts(t)
	arguments := []string{
		"--port", fmt.Sprint(server.Port),
		"--read-only-port", fmt.Sprint(server.ReadOnlyPort),
		"--dir", server.Folder,
	}
	command := exec.Command(binary, append(arguments, flags...)...)
	command.Stdout, command.Stderr = &server.log, &server.log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() { server.stop(t, command, ended) })
	eventually(t, startLimit, "the server answers on both ports", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v\n%s", err, server.log.String())
		default:
		}
		return answers(server.Port) && answers(server.ReadOnlyPort)
	})
	return server
}

func (server *Server) stop(t *testing.T, command *exec.Cmd, ended chan error) {
	if t.Failed() {
		t.Log(server.log.String())
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		return
	}
	select {
	case <-ended:
	case <-time.After(stopLimit):
		_ = command.Process.Kill()
		<-ended
		t.Error("the server did not end when asked to")
	}
}

// Addr is the address of the main port, by name.
func (server *Server) Addr() string { return fmt.Sprintf("localhost:%d", server.Port) }

// Trusting is a configuration that trusts the server's authority and nobody else.
func (server *Server) Trusting(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(server.Folder, "tls", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in ca.crt")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// A TLS client, which verifies nothing, is the first: it has the server make its authority.
func answers(port int) bool {
	dialer := &net.Dialer{Timeout: time.Second}
	connection, err := tls.DialWithDialer(dialer, "tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return false
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := connection.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	reply := make([]byte, 16)
	read, _ := connection.Read(reply)
	return bytes.Equal(reply[:read], []byte("+PONG\r\n"))
}

// Below the range that the kernel takes ports of outgoing connections from, so that none gets in between.
func twoFreePorts(t *testing.T) (int, int) {
	var held []net.Listener
	defer func() {
		for _, one := range held {
			one.Close()
		}
	}()
	for len(held) < 2 {
		one, err := net.Listen("tcp", fmt.Sprintf(":%d", 20_000+rand.Intn(12_000)))
		if err == nil {
			held = append(held, one)
		} else if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
	return held[0].Addr().(*net.TCPAddr).Port, held[1].Addr().(*net.TCPAddr).Port
}

// eventually returns once the condition holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// must fails the test at an error, and is the value otherwise.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// equal fails the test where the two are not shown alike.
func equal(t *testing.T, got, want any) {
	t.Helper()
	if shown, wanted := fmt.Sprintf("%v", got), fmt.Sprintf("%v", want); shown != wanted {
		t.Fatalf("got %s, not %s", shown, wanted)
	}
}

// refused fails the test unless the error says this.
func refused(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Fatalf("got %v, not an error with %q", err, says)
	}
}

// bounded is a context that ends with the test, or when the limit is over.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 6*limit)
	t.Cleanup(cancel)
	return ctx
}

// syncBuffer is a buffer that a process writes while a test reads it.
type syncBuffer struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (buffer *syncBuffer) Write(bytes []byte) (int, error) {
	buffer.lock.Lock()
	defer buffer.lock.Unlock()
	return buffer.text.Write(bytes)
}

func (buffer *syncBuffer) String() string {
	buffer.lock.Lock()
	defer buffer.lock.Unlock()
	return buffer.text.String()
}
