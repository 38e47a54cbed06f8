package fsync

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f where time is simulated, with a pacer and its counts of calls.
func bubble(t *testing.T, policy Policy, f func(t *testing.T, p *Pacer, wakes, gates *atomic.Int32)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var wakes, gates atomic.Int32
		p := NewPacer(policy, func() { wakes.Add(1) }, func() { gates.Add(1) })
		f(t, p, &wakes, &gates)
		p.Stop()
	})
}

func TestPacerDue(t *testing.T) {
	for _, c := range []struct {
		sync, due time.Duration
	}{
		{0, time.Second},                                     // MaxDelay / 2
		{100 * time.Millisecond, time.Second},                // the same
		{700 * time.Millisecond, 600 * time.Millisecond},     // MaxDelay − 2 x sync
		{5 * time.Second, 0},                                 // hopeless: at once
		{499 * time.Millisecond, 1000 * time.Millisecond},    // just below half
		{501 * time.Millisecond, 998 * time.Millisecond},     // just above
		{999500 * time.Microsecond, 1000 * time.Microsecond}, // close
	} {
		bubble(t, Policy{}, func(t *testing.T, p *Pacer, wakes, _ *atomic.Int32) {
			if _, ok := p.Due(c.sync); ok {
				t.Error("due with nothing armed")
			}
			p.Arm()
			p.Arm()
			if wakes.Load() != 1 {
				t.Errorf("%d wakes for two writes", wakes.Load())
			}
			if d, ok := p.Due(c.sync); d != c.due || !ok {
				t.Errorf("sync time %v: due in %v, want %v", c.sync, d, c.due)
			}
			time.Sleep(c.due)
			if d, ok := p.Due(c.sync); d != 0 || !ok {
				t.Errorf("due in %v after waiting", d)
			}
			p.Begin()
			if _, ok := p.Due(c.sync); ok {
				t.Error("due although a sync covers it")
			}
			p.End(true)
		})
	}
}

// TestPacerGate: the gate shuts before the oldest write that is not durable
// reaches the bound, and opens when a sync has covered it.
func TestPacerGate(t *testing.T) {
	bubble(t, Policy{}, func(t *testing.T, p *Pacer, _, gates *atomic.Int32) {
		p.Arm()
		p.Begin()
		time.Sleep(time.Second)
		p.Arm() // second write, not covered
		time.Sleep(1800 * time.Millisecond)
		if p.Shut() {
			t.Fatal("shut at 2.8 s")
		}
		time.Sleep(150 * time.Millisecond)
		synctest.Wait()
		if !p.Shut() || gates.Load() != 1 {
			t.Fatalf("open at 2.95 s, %d calls", gates.Load())
		}
		p.End(true)
		if p.Shut() || gates.Load() != 2 {
			t.Fatalf("shut by a write of 1.95 s, %d calls", gates.Load())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !p.Shut() {
			t.Fatal("open although the second write is 2.95 s old")
		}
		p.Begin()
		p.End(true)
		if p.Shut() {
			t.Error("shut with nothing armed")
		}
	})
}

// TestPacerFailure: what a failed sync covered is still not durable, and as old
// as it was.
func TestPacerFailure(t *testing.T) {
	bubble(t, Policy{}, func(t *testing.T, p *Pacer, _, _ *atomic.Int32) {
		p.Arm()
		time.Sleep(1500 * time.Millisecond)
		p.Begin()
		p.Arm()
		time.Sleep(1000 * time.Millisecond)
		p.End(false)
		if d, ok := p.Due(0); d != 0 || !ok {
			t.Errorf("due in %v, %v", d, ok)
		}
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		if !p.Shut() {
			t.Error("open at 2.9 s: the failure made the write young")
		}
	})
}

func TestPacerStop(t *testing.T) {
	bubble(t, Policy{}, func(t *testing.T, p *Pacer, wakes, gates *atomic.Int32) {
		p.Arm()
		p.Stop()
		p.Arm()
		time.Sleep(time.Minute)
		if p.Shut() || gates.Load() != 0 || wakes.Load() != 1 {
			t.Errorf("stopped pacer: shut %v, %d gates, %d wakes", p.Shut(), gates.Load(), wakes.Load())
		}
	})
}

func TestPolicy(t *testing.T) {
	if p := (Policy{}).WithDefaults(); p != (Policy{Batched, 2 * time.Second, 3 * time.Second}) {
		t.Errorf("defaults %+v", p)
	}
	if p := (Policy{MaxDelay: 10 * time.Second}).WithDefaults(); p.HardBound != 15*time.Second {
		t.Errorf("bound %v for a delay of 10 s", p.HardBound)
	}
	for name, p := range map[string]Policy{
		"unknown durability":    {Durability: 9},
		"delay too short":       {MaxDelay: time.Microsecond},
		"negative delay":        {MaxDelay: -time.Second},
		"bound below the delay": {MaxDelay: 2 * time.Second, HardBound: time.Second},
	} {
		if p.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
	for d := Inherit; d <= Never; d++ {
		if got, err := ParseDurability(d.String()); got != d || err != nil {
			t.Errorf("%v: %v, %v", d, got, err)
		}
	}
	if _, err := ParseDurability("often"); err == nil {
		t.Error("parsed nonsense")
	}
	if got := (Policy{Durability: Never}).Resolve(Inherit); got != Never {
		t.Errorf("inherits %v", got)
	}
	if got := (Policy{Durability: Never}).Resolve(Sync); got != Sync {
		t.Errorf("asked for sync, got %v", got)
	}
}
