package restart_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/restart"
)

// plan describes a random workload. Every one of them rolls segments, compacts,
// clears, drops, and has batches and images; the weights say of what it has
// more.
type plan struct {
	name    string
	o       restart.Options
	steps   int
	weights map[action]int
	size    int // of values, at most
	big     int // of one value in 20, at most
	keys    int
	// fill puts that many values of 96 KiB first.
	fill int
	// mixed draws a durability for each write and each region.
	mixed bool
}

// everywhere is in every workload, beside its weights.
var everywhere = map[action]int{doPut: 40, doDelete: 8, doBatch: 8, doGet: 4}

func inSync(o restart.Options) restart.Options {
	o.Durability = restart.Sync
	return o
}

func inBatches(o restart.Options) restart.Options {
	o.Durability = restart.Batched
	return o
}

// plans are the workloads of the crash enumeration. Batched ones have a sync
// now and then: without one nothing would be promised.
func plans() []plan {
	type w = map[action]int
	small := restart.Options{SegmentSize: 64 << 10, MemoryLimit: 8 << 20, Compaction: restart.NoCompaction}
	with := func(change func(*restart.Options)) restart.Options {
		o := small
		change(&o)
		return o
	}
	tight := with(func(o *restart.Options) { o.MemoryLimit, o.SegmentSize = 1<<20, 512<<10 })
	s2 := with(func(o *restart.Options) { o.Compression, o.Load = restart.CompressS2, restart.Eager }) // from the image
	zstd := with(func(o *restart.Options) { o.Compression = restart.CompressZstd })
	keysOnly := with(func(o *restart.Options) { o.Load = restart.KeysOnly })
	eager := with(func(o *restart.Options) { o.Load = restart.Eager })
	auto := with(func(o *restart.Options) { o.Compaction = restart.SizeBased })
	never := with(func(o *restart.Options) { o.Durability = restart.Never })
	list := []plan{
		{name: "sync overwrites", o: inSync(small), weights: w{doPut: 40}, keys: 10},
		{name: "sync deletes", steps: 90, o: inSync(small), weights: w{doDelete: 40}, keys: 20},
		{name: "sync batches", o: inSync(small), weights: w{doBatch: 40}, size: 1500},
		{name: "sync compaction", o: inSync(small), weights: w{doCompact: 6}},
		{name: "sync clears", steps: 80, o: inSync(small), weights: w{doClear: 10}},
		{name: "sync drops", steps: 80, o: inSync(small), weights: w{doDrop: 8, doRegion: 10}},
		{name: "sync images", o: inSync(small), weights: w{doCheckpoint: 8}},
		{name: "sync reopens", o: inSync(small), weights: w{doReopen: 5}},
		{name: "sync big records", o: inSync(small), big: 300 << 10},
		{name: "sync expiry", o: inSync(small), weights: w{doExpired: 20, doLiving: 20, doCompact: 2}},
		{name: "sync little memory", o: inSync(tight), weights: w{doGet: 10, doReopen: 2}},
		{name: "sync everything", o: inSync(auto), weights: w{doExpired: 5, doLiving: 5, doClear: 2, doDrop: 2, doRegion: 4, doCompact: 2, doCheckpoint: 2, doReopen: 2}},
		{name: "sync s2", o: inSync(s2), weights: w{doCompact: 2, doReopen: 2}, size: 8 << 10},
		{name: "sync zstd", o: inSync(zstd), weights: w{doBatch: 20, doCheckpoint: 2}, size: 8 << 10},
		{name: "sync keys only", o: inSync(keysOnly), weights: w{doReopen: 4, doGet: 20, doClear: 2}},
		{name: "batched", o: inBatches(small), weights: w{doSync: 22}},
		{name: "batched compaction", o: inBatches(auto), weights: w{doSync: 15, doCompact: 5, doCheckpoint: 3}},
		{name: "batched clears and drops", o: inBatches(small), weights: w{doSync: 18, doClear: 5, doDrop: 5, doRegion: 8}},
		{name: "batched reopens", o: inBatches(eager), weights: w{doSync: 12, doReopen: 5, doCheckpoint: 3}},
		{name: "batched little memory", o: inBatches(tight), weights: w{doSync: 15, doGet: 10, doReopen: 2, doCompact: 2}},
		{name: "batched big batches", o: inBatches(zstd), size: 6 << 10, weights: w{doSync: 20, doBatch: 60, doCompact: 2}},
		{name: "never", o: never, weights: w{doSync: 20, doCompact: 2, doCheckpoint: 2, doReopen: 1}},
		{name: "mixed", o: small, mixed: true, weights: w{doSync: 2, doRegion: 4}},
		{name: "mixed compaction", o: auto, mixed: true, weights: w{doCompact: 5, doCheckpoint: 4, doExpired: 10}},
		{name: "mixed everything", o: s2, mixed: true, big: 80 << 10, weights: w{doExpired: 5, doLiving: 5, doClear: 3, doDrop: 3, doRegion: 6, doCompact: 3, doCheckpoint: 3, doReopen: 3, doSync: 3}},
	}
	for i := range list {
		p := &list[i]
		p.size, p.keys = max(p.size, 100), max(p.keys, 40)
		if p.size == 100 {
			p.size = 4 << 10
		}
		p.steps = max(p.steps, 72)
		if p.o.Durability != restart.Sync {
			p.steps = max(p.steps, 130)
		}
		if p.o.MemoryLimit == tight.MemoryLimit {
			p.fill = 12
		}
	}
	return list
}

// generator draws a workload's steps; want is what they lead to.
type generator struct {
	plan
	rnd    *rand.Rand
	want   image
	serial int
	dice   []action
}

// workload draws the steps of a plan.
func (p plan) workload(seed uint64) []step {
	g := &generator{plan: p, rnd: rand.New(rand.NewPCG(seed, 2)), want: newImage()}
	for _, weights := range []map[action]int{everywhere, p.weights} {
		for _, do := range slices.Sorted(maps.Keys(weights)) {
			for range weights[do] {
				g.dice = append(g.dice, do)
			}
		}
	}
	// In order: what was cleared and dropped is then collected, and all of it
	// more than once.
	forced := []action{
		doCheckpoint, doCompact, doReopen, doCompact, doClear, doCheckpoint, doDrop, doCompact, doBatch, doDelete, doClear,
	}
	var steps []step
	add := func(do action) {
		s := g.step(do)
		g.want.apply(s)
		steps = append(steps, s)
	}
	every := (p.steps - p.fill) / len(forced)
	for i := range p.steps {
		do := g.dice[g.rnd.IntN(len(g.dice))]
		if i <= p.fill {
			do = doPut
		} else if n := i - p.fill; n%every == every-1 && n/every < len(forced) {
			do = forced[n/every]
		}
		if do == doCheckpoint {
			add(doPut) // a store that did not change since the last image writes none
		}
		add(do)
	}
	return append(steps, step{do: doSync, promise: crashtest.DurableAll})
}

func (g *generator) step(do action) step {
	if len(g.want.entries) == 0 && !slices.Contains([]action{doSync, doReopen, doCompact, doCheckpoint}, do) {
		do = doRegion
	}
	s := step{do: do, promise: crashtest.DurableNothing}
	switch do {
	case doRegion:
		g.drawRegion(&s)
	case doSync, doReopen:
		s.promise = crashtest.DurableAll
	case doCompact, doCheckpoint:
	case doGet:
		s.region, s.key = g.region(), g.key()
	case doBatch:
		g.drawBatch(&s)
	case doClear, doDrop:
		s.region = g.region()
		g.promise(&s, g.inForce(s.region, restart.Inherit))
	default:
		g.draw(&s)
		s.d = g.durability()
		g.promise(&s, g.inForce(s.region, s.d))
	}
	return s
}

// draw draws region, key and value of a put or delete.
func (g *generator) draw(s *step) {
	g.serial++
	s.region, s.key = g.region(), g.key()
	s.value = blob{serial: g.serial, size: g.rnd.IntN(g.size), dense: g.rnd.IntN(2) == 0}
	if g.serial <= g.fill {
		s.key, s.value.size = fmt.Sprint(g.serial), 96<<10
	}
	if g.big > 0 && g.rnd.IntN(20) == 0 {
		s.value.size = g.rnd.IntN(g.big)
	}
	if s.do == doDelete && g.rnd.IntN(4) > 0 { // of a key that is there
		if keys := slices.Sorted(maps.Keys(g.want.entries[s.region])); len(keys) > 0 {
			s.key = keys[g.rnd.IntN(len(keys))]
		}
	}
}

func (g *generator) drawBatch(s *step) {
	s.d = g.durability()
	d := restart.Never
	for range 2 + g.rnd.IntN(6) {
		b := step{do: []action{doPut, doPut, doPut, doDelete, doExpired}[g.rnd.IntN(5)]}
		g.draw(&b)
		s.batch = append(s.batch, b)
		d = min(d, g.inForce(b.region, restart.Inherit))
	}
	if s.d != restart.Inherit {
		d = s.d
	}
	g.promise(s, d)
}

// drawRegion creates a region, or alters one.
func (g *generator) drawRegion(s *step) {
	s.region = []string{"a", "b", "c"}[g.rnd.IntN(3)]
	s.opts.Ordered = g.rnd.IntN(3) == 0
	if g.mixed && len(g.want.entries[s.region]) == 0 && g.want.entries[s.region] == nil {
		s.opts.Durability = g.durability()
	}
	g.promise(s, g.inForce("", restart.Inherit))
}

func (g *generator) region() string {
	names := g.want.regionNames()
	return names[g.rnd.IntN(len(names))]
}

func (g *generator) key() string { return fmt.Sprintf("key-%d", g.rnd.IntN(g.keys)) }

func (g *generator) durability() restart.Durability {
	if !g.mixed {
		return restart.Inherit
	}
	return []restart.Durability{
		restart.Inherit, restart.Inherit, restart.Sync, restart.Batched, restart.Never,
	}[g.rnd.IntN(5)]
}

// inForce is the durability of a write to a region that asks for d.
func (g *generator) inForce(region string, d restart.Durability) restart.Durability {
	for _, in := range []restart.Durability{d, g.want.opts[region].Durability, g.o.Durability} {
		if in != restart.Inherit {
			return in
		}
	}
	return restart.Batched
}

// promise says what the acknowledgement of a write means: a write that is
// durable makes all that the log holds before it durable.
func (g *generator) promise(s *step, d restart.Durability) {
	if d == restart.Sync {
		s.promise = crashtest.DurableAll
	}
}
