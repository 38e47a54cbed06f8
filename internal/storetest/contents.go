// Package storetest is what tests of several packages say about a whole store:
// what it holds, as plain maps, and where two of these differ.
//
//	got, err := storetest.Read(st)
//	if d := storetest.Diff(got, want); err != nil || d != "" { … }
package storetest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fastrestart/frs/restart"
)

// Contents is what a store holds: region, key, value.
type Contents map[string]map[string]string

// Clone returns a copy that shares nothing.
func (c Contents) Clone() Contents {
	n := make(Contents, len(c))
	for name, m := range c {
		n[name] = maps.Clone(m)
	}
	return n
}

// Equal is faster than [Diff], and says only whether there is a difference.
func (c Contents) Equal(o Contents) bool {
	return maps.EqualFunc(c, o, func(a, b map[string]string) bool { return maps.Equal(a, b) })
}

// Read returns what a store holds, by scan. It is an error if Get or Len of a
// region says otherwise. Nobody may write meanwhile.
func Read(st *restart.Store) (Contents, error) {
	c := make(Contents)
	for _, name := range st.Regions() {
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			return nil, err
		}
		if c[name], err = readRegion(r); err != nil {
			return nil, fmt.Errorf("region %q: %w", name, err)
		}
	}
	return c, nil
}

func readRegion(r *restart.Region) (map[string]string, error) {
	m := make(map[string]string)
	for e, err := range r.All() {
		if err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		if _, twice := m[string(e.Key)]; twice {
			return nil, fmt.Errorf("scan: key %q twice", e.Key)
		}
		m[string(e.Key)] = string(e.Value)
	}
	for k, v := range m {
		if got, err := r.Get([]byte(k)); err != nil || string(got) != v {
			return nil, fmt.Errorf("get %q = %.20q, %v, the scan says %.20q", k, got, err, v)
		}
	}
	if n := r.Len(); n < len(m) { // what has expired may count
		return nil, fmt.Errorf("its Len is %d, a scan found %d", n, len(m))
	}
	return m, nil
}

// Diff names a place where two contents differ; "" if they do not.
func Diff(got, want Contents) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[name]
		if !ok {
			return fmt.Sprintf("region %q is missing", name)
		}
		for _, k := range slices.Sorted(maps.Keys(want[name])) {
			if v, ok := g[k]; !ok {
				return fmt.Sprintf("%q/%q is missing", name, k)
			} else if v != want[name][k] {
				return fmt.Sprintf("%q/%q = %.40q, want %.40q", name, k, v, want[name][k])
			}
		}
		for k := range g {
			if _, ok := want[name][k]; !ok {
				return fmt.Sprintf("%q/%q should not be there", name, k)
			}
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Sprintf("region %q should not be there", name)
		}
	}
	return ""
}
