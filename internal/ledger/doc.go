// Package ledger keeps account of what a store that was written by another
// process may hold, and must hold, when that process has died.
//
//	l := ledger.New()
//	l.Issue(ledger.Write{Version: 1, Puts: []string{"a/k"}}) // it is about to happen
//	err := l.Answer(ledger.Answer{Version: 1, LSN: 4096})    // it returned
//	l.Promise(5000)                                          // the log is durable to there
//	verdict := l.Check(found)                                // versions by key, read afterwards
//	l.Settle(found)                                          // they are durable: go on from them
//
// Each write has a version of its own, and a value says which write it is of.
// A key is written by one goroutine at a time, so its versions have the order
// of the log. What must hold: each key has a version that was written to it;
// one position divides the log into what is there and what is not, over all
// keys, batches whole; it is not before anything that was durable; and the
// acknowledged batched writes that are lost span at most [Bound].
//
// Keys are "region/key". A write that clears everything under a prefix must not
// be concurrent with writes of these keys; its position may then be any from its
// own to that of the next write.
//
// A Ledger is for one goroutine at a time.
package ledger
