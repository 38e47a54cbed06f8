package images_test

import (
	"slices"
	"testing"

	"github.com/fastrestart/frs/internal/images"
	"github.com/fastrestart/frs/vfs/memfs"
)

// Names are in the order of the history: by epoch, then by position. Nothing else
// in the directory is taken for an image.
func TestNames(t *testing.T) {
	fs := memfs.New()
	s := images.Set{FS: fs, Dir: "/checkpoint"}
	if names, err := s.Names(); err != nil || len(names) > 0 {
		t.Fatalf("without a directory: %v, %v", names, err)
	}
	if err := fs.MkdirAll(s.Dir); err != nil {
		t.Fatal(err)
	}
	want := []string{images.Name(9000, 1), images.Name(4096, 2), images.Name(1<<40, 2), images.Name(8, 300)}
	others := []string{
		"image.tmp", images.Name(8, 1) + ".tmp", "x" + images.Name(8, 1), "0000000000002328-1.img",
		"000000000000232G-00000001.img", "0000000000002328-00000001.IMG", ".img",
	}
	for _, name := range slices.Concat(others, []string{want[2], want[0], want[3], want[1]}) {
		f, err := fs.Create(s.Dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Names(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, name := range others {
		if to, epoch, ok := images.ParseName(name); ok {
			t.Errorf("%q is taken for an image to %d of epoch %d", name, to, epoch)
		}
	}
	if to, epoch, ok := images.ParseName(want[2]); to != 1<<40 || epoch != 2 || !ok {
		t.Errorf("%q parsed as %d, %d, %v", want[2], to, epoch, ok)
	}
}
