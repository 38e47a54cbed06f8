package memfs_test

import (
	"strings"
	"testing"

	"github.com/fastrestart/frs/vfs/memfs"
)

// sectors returns one sector for each letter, filled with it.
func sectors(letters string) string {
	var b strings.Builder
	for _, r := range letters {
		b.WriteString(strings.Repeat(string(r), memfs.SectorSize))
	}
	return b.String()
}

// letters is the inverse of sectors; a zero sector is '.'.
func letters(t testing.TB, data string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(data); i += memfs.SectorSize {
		s := data[i:min(i+memfs.SectorSize, len(data))]
		if strings.Trim(s, s[:1]) != "" {
			t.Fatalf("sector %d is mixed", i/memfs.SectorSize)
		}
		if s[0] == 0 {
			b.WriteByte('.')
		} else {
			b.WriteByte(s[0])
		}
	}
	return b.String()
}

func TestTornWrites(t *testing.T) {
	for _, c := range []struct {
		what string
		fate memfs.Fate
		want string // of aaaa, overwritten and extended by [2,6) = BCDE
	}{
		{"nothing arrived", memfs.Lost(), "aaaa"},
		{"everything arrived", memfs.Kept(), "aaBCDE"},
		{"the size without the data", memfs.SizeOnly(), "aaaa.."},
		{"the first sector", memfs.Torn(1), "aaBa.."},
		{"the first three sectors", memfs.Torn(3), "aaBCD."},
		{"all but the first sector", memfs.TornFront(1), "aaaCDE"},
		{"the last sector only", memfs.TornFront(3), "aaaa.E"},
		{"the data without the size", memfs.Fate{Sectors: func(int) bool { return true }}, "aaBC"},
		{"one sector without the size", memfs.Fate{Sectors: func(i int) bool { return i == 1 }}, "aaaC"},
	} {
		m := memfs.New()
		put(t, m, "f", sectors("aaaa"), 0, true)
		must(t, m.SyncDir("/"))
		put(t, m, "f", sectors("BCDE"), 2*memfs.SectorSize, false)
		clone := m.CrashClone(memfs.Crash{Choose: func(op memfs.Op) memfs.Fate {
			if op.Kind != memfs.OpWrite || op.Sectors != 4 || !op.Grows {
				t.Errorf("%s: pending %+v", c.what, op)
			}
			return c.fate
		}})
		if got := letters(t, get(t, clone, "f")); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// A sector goes to the disk as the page cache holds it: with the bytes that an
// earlier unsynced write left there, even if that write's other sectors are
// lost.
func TestSectorCarriesEarlierBytes(t *testing.T) {
	m := memfs.New()
	put(t, m, "f", "first ", 0, false)
	put(t, m, "f", "second", 6, false)
	must(t, m.SyncDir("/"))
	clone := m.CrashClone(memfs.Crash{Choose: func(op memfs.Op) memfs.Fate {
		return memfs.Fate{Happened: op.Offset == 6}
	}})
	if got := get(t, clone, "f"); got != "first second" {
		t.Errorf("after the crash %q, want both writes", got)
	}
}

func TestAllocationWithoutData(t *testing.T) {
	m := memfs.New()
	f, err := m.Create("f")
	must(t, err)
	defer f.Close()
	must(t, f.Allocate(2048))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err = f.WriteAt([]byte(sectors("AB")), 0)
	must(t, err)
	if got := letters(t, get(t, m.CrashClone(memfs.Nothing()), "f")); got != "...." {
		t.Errorf("nothing survives: %s, want the allocated size and zeros", got)
	}
	must(t, f.SyncData())
	if got := letters(t, get(t, m.CrashClone(memfs.Nothing()), "f")); got != "AB.." {
		t.Errorf("after a sync: %s, want the data", got)
	}
}
