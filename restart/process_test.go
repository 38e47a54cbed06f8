package restart_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// holdEnv asks the test binary to open the store it names, to say so, and to
// hold it until its standard input ends. holdReadOnly makes that a reader.
const (
	holdEnv      = "FRS_TEST_HOLD"
	holdReadOnly = "FRS_TEST_HOLD_READ_ONLY"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		if err := holdStore(dir, os.Getenv(holdReadOnly) != ""); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func holdStore(dir string, readOnly bool) error {
	st, err := restart.Open(dir, restart.Options{ReadOnly: readOnly})
	if err != nil {
		return err
	}
	if !readOnly {
		r, err := st.Region("a", restart.RegionOptions{})
		if err != nil {
			return err
		}
		if _, err := r.PutWith([]byte("k"), []byte("of the child"), restart.WriteOptions{Durability: restart.Sync}); err != nil {
			return err
		}
	}
	fmt.Println("open")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the parent lets go
	return st.Close()
}

// holder is a process that has a store open.
type holder struct {
	cmd     *exec.Cmd
	letGo   func() error
	process int
}

func holdInChild(t *testing.T, dir string, readOnly bool) *holder {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	if readOnly {
		cmd.Env = append(cmd.Env, holdReadOnly+"=1")
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	return &holder{cmd: cmd, process: cmd.Process.Pid, letGo: func() error { return errors.Join(in.Close(), cmd.Wait()) }}
}

// I20: two opens of one directory never both succeed.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	child := holdInChild(t, dir, false)
	for _, o := range []restart.Options{{}, {ReadOnly: true}, {MustExist: true}} {
		st, err := restart.Open(dir, o)
		if err == nil {
			t.Fatal("two processes have the store", st.Close())
		}
		for _, word := range []string{dir, fmt.Sprint("process ", child.process)} {
			if !errors.Is(err, restart.ErrInUse) || !strings.Contains(err.Error(), word) {
				t.Errorf("%v, want ErrInUse that says %q", err, word)
			}
		}
	}
	if err := child.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.cmd.Wait() // killed
	st, err := restart.Open(dir, restart.Options{})
	if err != nil {
		t.Fatalf("open after the holder was killed: %v", err)
	}
	wantValue(t, region(t, st, "a"), "k", "of the child")
	if err := st.Close(); err != nil {
		t.Error(err)
	}

	reader := holdInChild(t, dir, true)
	if st, err := restart.Open(dir, restart.Options{}); !errors.Is(err, restart.ErrInUse) {
		t.Errorf("writer beside a reader: %v, %v", st, err)
	}
	st, err = restart.Open(dir, restart.Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("reader beside a reader: %v", err)
	}
	wantValue(t, region(t, st, "a"), "k", "of the child")
	if err := errors.Join(st.Close(), reader.letGo()); err != nil {
		t.Error(err)
	}
	writer := holdInChild(t, dir, false)
	if err := writer.letGo(); err != nil {
		t.Error(err)
	}
}

// The same within one process.
func TestTwoHandles(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	put(t, region(t, st, "a"), "k", "v")
	for _, o := range []restart.Options{{FS: fsys}, {FS: fsys, ReadOnly: true}} {
		if _, err := restart.Open(dir, o); !errors.Is(err, restart.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("%v, want ErrInUse that names this process", err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	first := open(t, fsys, restart.Options{ReadOnly: true})
	second, err := restart.Open(dir, restart.Options{FS: fsys, ReadOnly: true})
	if err != nil {
		t.Fatalf("second reader: %v", err)
	}
	if _, err := restart.Open(dir, small(fsys)); !errors.Is(err, restart.ErrInUse) {
		t.Errorf("writer beside readers: %v", err)
	}
	wantValue(t, region(t, first, "a"), "k", "v")
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	wantValue(t, region(t, first, "a"), "k", "v")
}

// A reader makes, cuts and changes no file, whatever it finds, and needs a
// store that is there.
func TestReadOnlyChangesNothing(t *testing.T) {
	fsys := memfs.New()
	if _, err := restart.Open(dir, restart.Options{FS: fsys, ReadOnly: true}); !errors.Is(err, restart.ErrNoStore) {
		t.Errorf("no store: %v", err)
	}
	if _, err := restart.Open(dir, restart.Options{FS: fsys, MustExist: true}); !errors.Is(err, restart.ErrNoStore) {
		t.Errorf("no store that must exist: %v", err)
	}
	if names, err := fsys.List("/"); err != nil || len(names) != 0 {
		t.Errorf("failed opens made %v, %v", names, err)
	}
	k := killStore(t, 100)
	name := k.newest(t)
	frames := dataFrames(t, k.fs, name)
	last := frames[len(frames)-1]
	flip(t, k.fs, name, last.end-20, 1) // a torn tail
	before := k.fs.Fingerprint()
	delete(k.want["map"], "key-0099")
	for range 2 {
		rep := wantContents(t, k.fs, restart.Options{ReadOnly: true}, k.want)
		if rep.TornBytes == 0 || rep.TornFile != "" {
			t.Errorf("%v: %d torn bytes in %q, want them reported and not kept", rep, rep.TornBytes, rep.TornFile)
		}
	}
	if k.fs.Fingerprint() != before {
		t.Error("a reader changed the directory")
	}
	wantContents(t, k.fs, small(nil), k.want)
}
