package storetest

import (
	"errors"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

func TestRead(t *testing.T) {
	st, err := restart.Open("/store", restart.Options{FS: memfs.New()})
	if err != nil {
		t.Fatal(err)
	}
	want := Contents{"a": {"k": "v", "": "no key", "no value": ""}, "empty": {}}
	for name, m := range want {
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range m {
			if err := r.Put([]byte(k), []byte(v)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := Read(st)
	if err != nil || Diff(got, want) != "" {
		t.Errorf("%s, %v", Diff(got, want), err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(st); !errors.Is(err, restart.ErrClosed) {
		t.Errorf("closed: %v, %v, want ErrClosed", got, err)
	}
}

func TestDiff(t *testing.T) {
	want := Contents{"a": {"k": "v"}, "b": {}}
	for _, tt := range []struct {
		got  Contents
		diff string
	}{
		{want.Clone(), ""},
		{Contents{"a": {"k": "v"}}, `region "b" is missing`},
		{Contents{"a": {"k": "v"}, "b": {}, "c": {}}, `region "c" should not be there`},
		{Contents{"a": {}, "b": {}}, `"a"/"k" is missing`},
		{Contents{"a": {"k": "w"}, "b": {}}, `"a"/"k" = "w", want "v"`},
		{Contents{"a": {"k": "v"}, "b": {"k": "v"}}, `"b"/"k" should not be there`},
		{nil, `region "a" is missing`},
	} {
		if d := Diff(tt.got, want); d != tt.diff {
			t.Errorf("%v: %q, want %q", tt.got, d, tt.diff)
		}
		if tt.got.Equal(want) != (tt.diff == "") {
			t.Errorf("%v: Equal is %t", tt.got, tt.got.Equal(want))
		}
	}
	c := want.Clone()
	c["a"]["k"], c["new"] = "other", nil
	if want["a"]["k"] != "v" || len(want) != 2 {
		t.Error("a clone shares what it was made from")
	}
}
