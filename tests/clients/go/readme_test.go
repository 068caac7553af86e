package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The program of README's section on TLS, built and run as it stands there but for the port.
func TestProgramOfREADME(t *testing.T) {
	page, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(page), "\n**go-redis**\n\n```go\n")
	if !found {
		t.Fatal("README has no program for go-redis")
	}
	program, _, _ := strings.Cut(below, "\n```\n")
	for _, kind := range clusters {
		if !kind.isTLS {
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			server := Start(t, kind.flags...)
			folder := t.TempDir()
			// Within the module, so that go-redis is found.
			source, err := os.MkdirTemp(".", "readme-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(source)
			text := strings.ReplaceAll(program, "6379", strconv.Itoa(server.Port))
			if err := os.WriteFile(filepath.Join(source, "main.go"), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			binary := filepath.Join(folder, "program")
			run(t, ".", "go", "build", "-o", binary, "./"+source)
			run(t, folder, os.Getenv("KVARTS_BIN"), "tls", "export", "--server-dir", server.Folder, "--dir", "certs")
			equal(t, run(t, folder, binary), "ada\n")
		})
	}
}

// run runs a program in a folder, and returns what it printed.
func run(t *testing.T, folder, name string, arguments ...string) string {
	t.Helper()
	command := exec.Command(name, arguments...)
	command.Dir = folder
	command.Stderr = os.Stderr
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, arguments, err)
	}
	return string(printed)
}
