package restart_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// paces counts what a store says of its checkpoints.
type paces struct {
	mu     sync.Mutex
	images []restart.CheckpointInfo
	missed []time.Duration
}

func (p *paces) events() restart.Events {
	return restart.Events{
		CheckpointEnd: func(i restart.CheckpointInfo) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.images = append(p.images, i)
		},
		BudgetMissed: func(d time.Duration) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.missed = append(p.missed, d)
		},
	}
}

// take returns the checkpoints since it was called last.
func (p *paces) take() []restart.CheckpointInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	images := p.images
	p.images = nil
	return images
}

// While a store is written, images keep the predicted restart within its budget,
// and each is taken only after the log grew by twice the size of the last.
func TestPacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 20 * time.Millisecond
		var p paces
		o := small(nil)
		o.RestartBudget, o.Compaction, o.MemoryLimit, o.Events = budget, restart.NoCompaction, 256<<20, p.events()
		o.SegmentSize = 4 << 20
		st := open(t, memfs.New(), o)
		r := region(t, st, "a")
		value := bytes.Repeat([]byte("v"), 10_000)
		over := 0
		for i := range 3000 { // 100 MB a second
			put(t, r, fmt.Sprint(i), string(value))
			time.Sleep(100 * time.Microsecond)
			if st.PredictedRestart() > budget+100*time.Millisecond*2/3 { // looked at ten times a second, 300 MB/s assumed
				over++
			}
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if d := st.PredictedRestart(); d > budget || over > 0 {
			t.Errorf("a restart now would take %v, %d times it would have taken too long", d, over)
		}
		if len(p.images) < 3 || len(p.images) > 6 || len(p.missed) > 0 {
			t.Fatalf("%d images, budget said to be missed %v", len(p.images), p.missed)
		}
		for i, im := range p.images[1:] {
			if last := p.images[i]; int64(im.From-last.To) < 2*last.Bytes {
				t.Errorf("image %d begins at %d, the one before ends at %d and has %d bytes", i+1, im.From, last.To, last.Bytes)
			}
		}
	})
}

// A budget that images cannot keep is not bought with images without end: it is
// said, once.
func TestBudgetMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = time.Millisecond // less than any open is predicted to take
		var p paces
		o := small(nil)
		o.RestartBudget, o.Compaction, o.Events = budget, restart.NoCompaction, p.events()
		st := open(t, memfs.New(), o)
		r := region(t, st, "a")
		for i := range 200 {
			put(t, r, fmt.Sprintf("key %d", i), "value")
		}
		for range 50 {
			put(t, r, "key", "value")
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if len(p.images) != 1 || len(p.missed) != 1 || p.missed[0] <= budget || st.Metrics().PredictedRestart <= budget {
			t.Errorf("%d images, missed %v, predicted %v", len(p.images), p.missed, st.Metrics().PredictedRestart)
		}
		for i := range 2000 {
			put(t, r, fmt.Sprintf("key %d", i%200), "value")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(p.images) != 2 || len(p.missed) != 2 {
			t.Errorf("after the log grew: %d images, missed %v", len(p.images), p.missed)
		}
	})
}

// A checkpoint that fails is not tried over and over; when what stood in its way
// is gone, the image is written.
func TestPacingPausesAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p paces
		e := errfs.Wrap(memfs.New())
		o := small(e)
		o.RestartBudget, o.Compaction, o.MemoryLimit, o.Events = 20*time.Millisecond, restart.NoCompaction, 256<<20, p.events()
		o.SegmentSize = 4 << 20
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		full := errfs.Rule{Kinds: errfs.Create, Name: "image*", Times: errfs.Forever, Err: syscall.ENOSPC}
		rule := e.Inject(full)
		r := region(t, st, "a")
		write := func() {
			for i := range 1000 {
				put(t, r, fmt.Sprint(i), strings.Repeat("v", 10_000))
			}
		}
		write()
		time.Sleep(time.Minute)
		synctest.Wait()
		tries := p.take()
		if n := len(tries); n < 8 || n > 14 {
			t.Fatalf("in a minute %d tries", n)
		}
		for _, im := range tries {
			if !errors.Is(im.Err, syscall.ENOSPC) {
				t.Fatalf("checkpoint: %v", im.Err)
			}
		}
		rule.Remove()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if tries := p.take(); len(tries) != 1 || tries[0].Err != nil {
			t.Errorf("without the fault: %+v", tries)
		}
		e.Inject(full)
		write()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(p.take()); n < 2 {
			t.Errorf("after a checkpoint that succeeded, %d tries within a second", n)
		}
	})
}
