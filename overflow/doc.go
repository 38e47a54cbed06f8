// Package overflow decides which values leave memory when there are too many,
// and counts exactly how many there are.
//
// An [Account] is how many entries, and bytes of them, something holds in
// memory, and how many it may hold. It is shared by everything that adds or
// takes away: one atomic counter each, no lock, exact at every moment.
//
// [Clock] is the policy: second chance, an approximation of least recently
// used. Each item has a recency bit, set when the item is used. A hand goes
// round the items; an item whose bit is set loses the bit and stays, another
// one leaves. A use costs one bit where the item already is, no list and no
// lock, which is why reads can run in parallel (Corbató, "A Paging Experiment
// with the Multics System", 1968).
//
// The package has no items of its own: they are the caller's [Ring], for
// example the pages of a hash table, walked under the caller's lock.
package overflow
