package vfs_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fastrestart/frs/vfs"
)

// lockEnv asks the test binary to take the lock it names, to say so, and to
// hold it until its standard input ends.
const lockEnv = "VFS_TEST_LOCK"

func TestMain(m *testing.M) {
	if name := os.Getenv(lockEnv); name != "" {
		os.Exit(holdLock(name))
	}
	os.Exit(m.Run())
}

func holdLock(name string) (exit int) {
	lock, err := vfs.Default.Lock(name, vfs.Exclusive)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer lock.Close()
	fmt.Println("locked")
	bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

// A lock of another process excludes this one until that process is killed.
func TestLockOfAnotherProcess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lockEnv+"="+name)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	for _, mode := range []vfs.LockMode{vfs.Exclusive, vfs.Shared} {
		if _, err := vfs.Default.Lock(name, mode); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("lock in mode %d: %v, want ErrLocked", mode, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	lock, err := vfs.Default.Lock(name, vfs.Exclusive)
	if err != nil {
		t.Fatalf("a killed process still excludes: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}
