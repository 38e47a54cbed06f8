package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

const storeDir = "/store"

// buildStore makes a store with one image.
func buildStore(t *testing.T) *memfs.FS {
	t.Helper()
	m := memfs.New()
	st, err := restart.Open(storeDir, restart.Options{FS: m, SegmentSize: 64 << 10, MemoryLimit: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r, err := st.Region("r", restart.RegionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := st.NewBatch()
	for i := range 300 {
		if _, err := r.PutWith(key(i), []byte(strings.Repeat("v", i)), restart.WriteOptions{TTL: 1 << 60}); err != nil {
			t.Fatal(err)
		}
		b.Put(r, fmt.Appendf(nil, "b%d", i), key(i))
		b.Delete(r, key(i/2))
	}
	if _, err := st.Apply(b); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

func lookAtStore(t *testing.T, m *memfs.FS) (*inspect.Log, io.Closer) {
	t.Helper()
	layout, lock, err := restart.OpenLayout(m, storeDir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := inspect.OpenStore(m, inspect.Store{
		Log: layout.Log, StoreID: layout.StoreID, Lineage: layout.Lineage, Generation: layout.Generation,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, lock
}

// verifyStore is verify for a store.
func verifyStore(t *testing.T, m *memfs.FS) inspect.Report {
	t.Helper()
	before, ops := m.Fingerprint(), m.Ops()
	l, lock := lookAtStore(t, m)
	last := [2]int64{}
	rep, err := l.Verify(context.Background(), func(done, total int64) {
		if done < last[0] || total < last[1] || done > total {
			t.Errorf("progress %d of %d after %d of %d", done, total, last[0], last[1])
		}
		last = [2]int64{done, total}
	})
	if err := errors.Join(err, l.Close(), lock.Close()); err != nil {
		t.Fatal(err)
	}
	if last[0] != last[1] || last[1] < rep.Bytes {
		t.Errorf("progress ended at %d of %d", last[0], last[1])
	}
	if m.Fingerprint() != before || m.Ops() != ops || len(m.OpenFiles()) > 0 {
		t.Errorf("looking changed the file system, or left %v open", m.OpenFiles())
	}
	return rep
}

func imageFile(t *testing.T, m *memfs.FS) string {
	t.Helper()
	dir := filepath.Join(storeDir, "gen-000001", "checkpoint")
	names, err := m.List(dir)
	if err != nil || len(names) != 1 {
		t.Fatalf("images %v, %v", names, err)
	}
	return filepath.Join(dir, names[0])
}

func TestImagesAreFine(t *testing.T) {
	m := buildStore(t)
	rep := verifyStore(t, m)
	if len(rep.Damage) > 0 || len(rep.Images) != 1 || !rep.Images[0].Fits || rep.Images[0].Entries != 450 || rep.Images[0].Damaged != 0 {
		t.Errorf("%+v", rep)
	}
	l, lock := lookAtStore(t, m)
	list, err := l.Images()
	if err != nil || len(list) != 1 || len(list[0].Regions) != 1 || list[0].Regions[0].Name != "r" || list[0].Regions[0].Entries != 450 {
		t.Errorf("%+v, %v", list, err)
	}
	if data, _, err := l.Behind(list[0].From); data || err != nil {
		t.Errorf("data behind the image: %v, %v", data, err)
	}
	if data, _, err := l.Behind(0); !data || err != nil {
		t.Errorf("no data in the log: %v, %v", data, err)
	}
	if err := errors.Join(l.Close(), lock.Close()); err != nil {
		t.Error(err)
	}
}

// TestImageFlipsAreFound: any byte of the image. Nothing is said of the log.
func TestImageFlipsAreFound(t *testing.T) {
	m := buildStore(t)
	name := imageFile(t, m)
	f, err := m.OpenWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(0); off < size; off += 37 {
		var b [1]byte
		if _, err := f.ReadAt(b[:], off); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 0x10
		if _, err := f.WriteAt(b[:], off); err != nil {
			t.Fatal(err)
		}
		l, lock := lookAtStore(t, m)
		rep, err := l.Verify(context.Background(), nil)
		if err := errors.Join(err, l.Close(), lock.Close()); err != nil {
			t.Fatal(err)
		}
		if len(rep.Damage) != 1 || !rep.Damage[0].TimeOnly || rep.Damage[0].File != name {
			t.Errorf("byte %d: %+v", off, rep.Damage)
		}
		b[0] ^= 0x10
		if _, err := f.WriteAt(b[:], off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestImageLies: images whose checksums hold and that do not say what the log
// says.
func TestImageLies(t *testing.T) {
	tests := map[string]struct {
		change func(e *index.ImageEntry) // of one entry, not in the batch
		want   string
	}{
		"another position":   {func(e *index.ImageEntry) { e.LSN += 8 }, "1 of its entries do not agree with the log"},
		"another record's":   {func(e *index.ImageEntry) { e.LSN = 4096 }, "1 of its entries do not agree with the log, the first at LSN 4096"},
		"another length":     {func(e *index.ImageEntry) { e.ValueLen++ }, "1 of its entries do not agree with the log"},
		"another value":      {func(e *index.ImageEntry) { e.ValueHash++ }, "1 of its entries do not agree with the log"},
		"another expiry":     {func(e *index.ImageEntry) { e.Expiry++ }, "1 of its entries do not agree with the log"},
		"in a batch":         {func(e *index.ImageEntry) { e.InBatch = true }, "1 of its entries do not agree with the log"},
		"behind the end":     {func(e *index.ImageEntry) { e.LSN = 1 << 40 }, "above the end of what the image knows"},
		"in another part":    {func(e *index.ImageEntry) { e.Key = otherPart(e.Key) }, "belongs to another part"},
		"below the log, and": {func(e *index.ImageEntry) { e.LSN = 8 }, ""}, // dead: a restart drops it
		"nothing at all":     {func(e *index.ImageEntry) {}, ""},
	}
	for name, c := range tests {
		m := buildStore(t)
		rewrite(t, m, c.change)
		rep := verifyStore(t, m)
		switch {
		case c.want == "" && len(rep.Damage) == 0:
		case c.want != "" && len(rep.Damage) == 1 && strings.Contains(rep.Damage[0].Reason, c.want) && rep.Damage[0].TimeOnly:
		default:
			t.Errorf("%s: %+v", name, rep.Damage)
		}
	}
}

func otherPart(key []byte) []byte {
	part := index.Part(index.HashKey(key), index.MinPartBits)
	for i := 0; ; i++ {
		if k := fmt.Appendf(nil, "%d", i); index.Part(index.HashKey(k), index.MinPartBits) != part {
			return k
		}
	}
}

// rewrite writes the store's image again with one entry changed.
func rewrite(t *testing.T, m *memfs.FS, change func(e *index.ImageEntry)) {
	t.Helper()
	name := imageFile(t, m)
	old, err := m.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	im, err := index.OpenImage(old)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Create(name + ".new")
	if err != nil {
		t.Fatal(err)
	}
	w := index.NewImageWriter(f)
	for i := range im.Regions {
		for n, p := range im.Regions[i].Parts {
			if im.Regions[i].Parts[n], err = rewritePart(im, w, p, &change); err != nil {
				t.Fatal(err)
			}
		}
	}
	if change != nil {
		t.Fatal("no entry was changed")
	}
	if _, err := w.Finish(im.ImageHeader, im.Regions); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(im.Close(), f.Close(), m.Rename(name+".new", name)); err != nil {
		t.Fatal(err)
	}
}

func rewritePart(im *index.Image, w *index.ImageWriter, p index.ImagePart, change *func(e *index.ImageEntry)) (index.ImagePart, error) {
	b, err := im.ReadPart(p, nil)
	if err != nil {
		return p, err
	}
	w.BeginPart()
	for range p.Entries {
		e, rest, err := index.NextImageEntry(b)
		if err != nil {
			return p, err
		}
		if b = rest; *change != nil && !e.InBatch {
			(*change)(&e)
			*change = nil
		}
		if err := w.Add(index.AppendImageEntry(nil, e), 1); err != nil {
			return p, err
		}
	}
	return w.EndPart(), nil
}

// TestImageInDamagedLog: when the log lost records, images are not blamed for
// knowing them.
func TestImageInDamagedLog(t *testing.T) {
	m := buildStore(t)
	dir := filepath.Join(storeDir, "gen-000001", "log")
	names, err := m.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		f, err := m.OpenWrite(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("damage"), 4096+2000); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		break
	}
	rep := verifyStore(t, m)
	if len(rep.Damage) == 0 {
		t.Error("no damage found")
	}
	for _, d := range rep.Damage {
		if d.TimeOnly {
			t.Errorf("%+v", d)
		}
	}
}
