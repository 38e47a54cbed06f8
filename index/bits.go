package index

import "github.com/cespare/xxhash/v2"

// The bits of a key's hash (xxhash64, unseeded), all defined here:
//
//	63      58 57                    34 33                 0
//	+---------+------------------------+--------------------+
//	|  shard  |          tag           |  free              |
//	+---------+------------------------+--------------------+
//
// A table sees the tag only. Its upper bits choose the page, the following ones
// the bucket, and all of it is kept in the slot, so that tables grow without
// looking at keys.
const (
	// ShardBits is the number of hash bits that may choose a shard.
	ShardBits = 6
	// TagBits is the number of hash bits that a table works with.
	TagBits = 24
	// EndTag is the tag behind the last one: where a Scan ends.
	EndTag = 1 << TagBits

	shardShift = 64 - ShardBits
	tagShift   = shardShift - TagBits
	tagMask    = EndTag - 1
)

// HashKey returns the hash of a key.
func HashKey(key []byte) uint64 { return xxhash.Sum64(key) }

// Shard returns the shard of a hash among 1<<bits shards.
//
// REQUIRES: 0 <= bits <= ShardBits
func Shard(hash uint64, bits int) int { return int(hash >> shardShift >> (ShardBits - bits)) }

// Tag returns the tag of a hash.
func Tag(hash uint64) uint32 { return uint32(hash>>tagShift) & tagMask }
