package restart_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// hardBound is how much acknowledgement time undurable batched writes span at
// most, whatever the disk does; maxDelay the default of Options.MaxDelay.
const (
	hardBound = 3 * time.Second
	maxDelay  = 2 * time.Second
)

// paced is a batched store on a disk of simulated speed, and what its writers
// were told. Only for use in a bubble where time is simulated.
type paced struct {
	t    *testing.T
	disk *memfs.FS
	st   *restart.Store
	r    *restart.Region
	slow atomic.Int64 // duration of a sync

	mu      sync.Mutex
	acks    []ack
	longest time.Duration // of a write
	since   time.Time     // when the oldest write under way began
	writing int
}

type ack struct {
	key string
	lsn restart.LSN
	at  time.Time
}

func newPaced(t *testing.T, o restart.Options) *paced {
	t.Helper()
	p := &paced{t: t, disk: memfs.New()}
	o.FS = errfs.Wrap(p.disk, errfs.Rule{Kinds: errfs.SyncData, Times: errfs.Forever, Before: func(errfs.Op) {
		time.Sleep(time.Duration(p.slow.Load()))
	}})
	var err error
	if p.st, err = restart.Open(dir, o); err != nil {
		t.Fatal(err)
	}
	p.r = region(t, p.st, "r")
	if err := p.st.Sync(); err != nil {
		t.Fatal(err)
	}
	return p
}

// write does the n-th write of a writer, in one of several ways, and notes
// when it was acknowledged.
func (p *paced) write(writer, n int) {
	key := fmt.Sprintf("%d-%d", writer, n)
	start := time.Now()
	p.mu.Lock()
	if p.writing++; p.writing == 1 {
		p.since = start
	}
	p.mu.Unlock()
	var lsn restart.LSN
	var err error
	switch n % 4 {
	case 0:
		b := p.st.NewBatch()
		b.Put(p.r, []byte(key), []byte("batch"))
		b.Delete(p.r, []byte("nothing"))
		lsn, err = p.st.Apply(b)
	case 1:
		// A deletion between two puts is as much a write as they are.
		if _, err = p.r.PutWith([]byte(key), []byte("old"), restart.WriteOptions{}); err == nil {
			_, err = p.r.DeleteWith([]byte(key), restart.WriteOptions{})
		}
		if err == nil {
			lsn, err = p.r.PutWith([]byte(key), []byte("new"), restart.WriteOptions{})
		}
	default:
		lsn, err = p.r.PutWith([]byte(key), []byte("put"), restart.WriteOptions{})
	}
	if err != nil {
		p.t.Errorf("write %s: %v", key, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
	p.longest = max(p.longest, time.Since(start))
	p.acks = append(p.acks, ack{key, lsn, time.Now()})
}

// undurable returns how much time the acknowledged writes span that are not
// durable.
func (p *paced) undurable() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	durable := p.st.DurableLSN()
	var first, last time.Time
	for i := len(p.acks) - 1; i >= 0 && i > len(p.acks)-5000; i-- {
		if a := p.acks[i]; a.lsn >= durable {
			if first = a.at; last.IsZero() {
				last = a.at
			}
		}
	}
	return last.Sub(first)
}

// stuck reports whether a writer has been waiting for more than a second.
func (p *paced) stuck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writing > 0 && time.Since(p.since) > time.Second
}

// powerFails checks that what was acknowledged before a moment survives a power
// failure now.
func (p *paced) powerFails(before time.Time) (survived int) {
	p.t.Helper()
	p.mu.Lock()
	acks := p.acks[:len(p.acks):len(p.acks)]
	disk := p.disk.CrashClone(memfs.Nothing())
	p.mu.Unlock()
	st, err := restart.Open(dir, small(disk))
	if err != nil {
		p.t.Fatalf("after a power failure: %v", err)
	}
	defer st.Close()
	r := region(p.t, st, "r")
	for _, a := range acks {
		if !a.at.Before(before) {
			continue
		}
		if ok, err := r.Has([]byte(a.key)); !ok {
			p.t.Fatalf("%s, acknowledged %v ago, is lost: %v", a.key, time.Since(a.at), err)
		}
		survived++
	}
	return survived
}

func (p *paced) close() {
	p.t.Helper()
	p.slow.Store(0)
	if err := p.st.Close(); err != nil {
		p.t.Error(err)
	}
}

// TestBatchedBound: on a disk that completes its syncs in time, an acknowledged
// write is durable within MaxDelay, whether others follow or not.
func TestBatchedBound(t *testing.T) {
	for _, syncTime := range []time.Duration{0, 20 * time.Millisecond, 400 * time.Millisecond} {
		for name, pause := range map[string]time.Duration{"busy": 3 * time.Millisecond, "idle": 7 * time.Second} {
			t.Run(fmt.Sprint(name, " ", syncTime), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPaced(t, small(nil))
					p.slow.Store(int64(syncTime))
					survived := 0
					for n, next := 0, time.Now(); n < 40 || pause < time.Second && n < 4000; n++ {
						p.write(0, n)
						time.Sleep(pause)
						if span := p.undurable(); span > maxDelay {
							t.Fatalf("undurable writes span %v", span)
						}
						if time.Since(next) > 0 {
							survived += p.powerFails(time.Now().Add(-maxDelay))
							next = time.Now().Add(time.Second)
						}
					}
					if p.longest > 0 {
						t.Errorf("a batched write took %v", p.longest)
					}
					if syncs := p.st.Metrics().Syncs; syncs > 60 {
						t.Errorf("%d syncs", syncs)
					}
					if survived < 100 {
						t.Errorf("only %d writes were looked for after a power failure", survived)
					}
					p.close()
				})
			})
		}
	}
}

// TestSlowSync: a sync takes three times as long as the bound. Batched writes
// wait, so that those acknowledged and not durable never span more than the
// bound; reads go on; when the disk recovers, so do the writers.
func TestSlowSync(t *testing.T) {
	for _, delay := range []time.Duration{time.Second, maxDelay, hardBound} {
		t.Run(fmt.Sprint("MaxDelay ", delay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := small(nil)
				o.MaxDelay = delay
				p := newPaced(t, o)
				put(t, p.r, "fixed", "value")
				p.slow.Store(int64(10 * time.Second))
				reads := p.underPressure(4, time.Minute)
				if reads < 1000 {
					t.Errorf("only %d reads while a writer waited", reads)
				}
				if p.longest < 5*time.Second {
					t.Errorf("no writer waited longer than %v", p.longest)
				}
				p.slow.Store(int64(time.Millisecond))
				time.Sleep(20 * time.Second) // the last slow sync
				p.longest = 0
				for n := range 500 {
					p.write(9, n)
					time.Sleep(10 * time.Millisecond)
				}
				if p.longest > 10*time.Millisecond {
					t.Errorf("a write took %v on a quick disk", p.longest)
				}
				p.close()
			})
		})
	}
}

// underPressure runs writers and a reader for a time, and returns how many
// reads there were while a writer waited.
func (p *paced) underPressure(writers int, d time.Duration) (reads int) {
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for w := range writers {
		wg.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				p.write(w, n)
				time.Sleep(11 * time.Millisecond)
			}
		})
	}
	wg.Go(func() {
		for n := 0; time.Now().Before(end); n++ {
			time.Sleep(13 * time.Millisecond)
			if span := p.undurable(); span > hardBound {
				p.t.Errorf("undurable writes span %v", span)
				return
			}
			stuck, start := p.stuck(), time.Now()
			if err := p.lookAround(); err != nil {
				p.t.Error(err)
			}
			if took := time.Since(start); took > 0 {
				p.t.Errorf("reads took %v", took)
			}
			if stuck {
				reads++
			}
			if n%200 == 0 {
				p.powerFails(p.lastAck().Add(-hardBound))
			}
		}
	})
	wg.Wait()
	return reads
}

// lastAck is when the last write was acknowledged.
func (p *paced) lastAck() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.acks) == 0 {
		return time.Time{}
	}
	return p.acks[len(p.acks)-1].at
}

// lookAround reads in every way.
func (p *paced) lookAround() error {
	if v, err := p.r.Get([]byte("fixed")); err != nil || string(v) != "value" {
		return fmt.Errorf("get: %q, %w", v, err)
	}
	if _, err := p.r.Get([]byte("nothing")); !errors.Is(err, restart.ErrNotFound) {
		return fmt.Errorf("get of nothing: %w", err)
	}
	for _, err := range p.r.Ascend([]byte("fixed"), nil) {
		if err != nil {
			return fmt.Errorf("scan: %w", err)
		}
	}
	if p.r.Len() == 0 {
		return errors.New("Len is 0")
	}
	return nil
}
