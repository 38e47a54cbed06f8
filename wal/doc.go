// Package wal is a write-ahead log: an ordered set of segments as one log.
package wal
