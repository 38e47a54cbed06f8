package restart_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/fastrestart/frs/restart"
)

// A store is a directory. What was put is there after any restart.
func Example() {
	dir := tempDir()
	defer os.RemoveAll(dir)

	st, err := restart.Open(dir, restart.Options{})
	check(err)
	users, err := st.Region("users", restart.RegionOptions{})
	check(err)
	check(users.Put([]byte("ada"), []byte("1815"))) // in memory; on disk within 2 s
	check(st.Close())                               // on disk

	st, err = restart.Open(dir, restart.Options{})
	check(err)
	users, err = st.Region("users", restart.RegionOptions{})
	check(err)
	born, err := users.Get([]byte("ada"))
	check(err)
	_, err = users.Get([]byte("bob"))
	fmt.Printf("%s %v\n", born, errors.Is(err, restart.ErrNotFound))
	check(st.Close())
	// Output: 1815 true
}

// A write that must not be lost asks for it; when PutWith has returned it is
// on disk. The others are not held up.
func ExampleRegion_PutWith() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	st, err := restart.Open(dir, restart.Options{})
	check(err)
	defer func() { check(st.Close()) }()
	orders, err := st.Region("orders", restart.RegionOptions{})
	check(err)

	lsn, err := orders.PutWith([]byte("4711"), []byte("paid"), restart.WriteOptions{Durability: restart.Sync})
	check(err)
	fmt.Println("durable:", st.DurableLSN() > lsn)

	_, err = orders.PutWith([]byte("cart"), []byte("3 items"), restart.WriteOptions{TTL: 30 * time.Minute})
	check(err)
	// Output: durable: true
}

// A batch is one record of the log, in any regions: after a crash all of it is
// there or nothing.
func ExampleStore_Apply() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	st, err := restart.Open(dir, restart.Options{})
	check(err)
	defer func() { check(st.Close()) }()
	accounts, err := st.Region("accounts", restart.RegionOptions{})
	check(err)
	journal, err := st.Region("journal", restart.RegionOptions{})
	check(err)

	b := st.NewBatch()
	b.Put(accounts, []byte("ada"), []byte("90"))
	b.Put(accounts, []byte("bob"), []byte("110"))
	b.Put(journal, []byte("000001"), []byte("ada pays bob 10"))
	_, err = st.Apply(b)
	check(err)
	fmt.Println(accounts.Len(), journal.Len())
	// Output: 2 1
}

// Scans yield copies, hold no lock while they yield, and see writes that go on
// meanwhile or not.
func ExampleRegion_Prefix() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	st, err := restart.Open(dir, restart.Options{})
	check(err)
	defer func() { check(st.Close()) }()
	r, err := st.Region("positions", restart.RegionOptions{Ordered: true})
	check(err)
	for _, key := range []string{"ship/2", "train/1", "ship/1"} {
		check(r.Put([]byte(key), []byte("somewhere")))
	}

	for e, err := range r.Prefix([]byte("ship/")) {
		check(err)
		fmt.Printf("%s %s\n", e.Key, e.Value)
	}
	// Output:
	// ship/1 somewhere
	// ship/2 somewhere
}

func tempDir() string {
	dir, err := os.MkdirTemp("", "frs-")
	check(err)
	return dir
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
