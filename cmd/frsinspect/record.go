package main

import (
	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/restart"
)

// recordLine is a record as JSON. What its kind does not have is left out.
type recordLine struct {
	LSN        inspect.LSN  `json:"lsn"`
	Number     *int         `json:"op,omitzero"` // in the batch
	Kind       string       `json:"kind"`
	Region     uint32       `json:"region,omitzero"`
	Key        data         `json:"key,omitzero"`
	ValueSize  *int         `json:"value_size,omitzero"`
	Value      data         `json:"value,omitzero"`
	Expires    string       `json:"expires,omitzero"`
	Version    uint64       `json:"version,omitzero"`
	Name       string       `json:"name,omitzero"`
	Options    *optionsLine `json:"options,omitzero"`
	Operations int          `json:"operations,omitzero"`
	Time       string       `json:"time,omitzero"`
	LowWater   inspect.LSN  `json:"low_water,omitzero"`
	Stored     int          `json:"stored"`
	Codec      string       `json:"codec"`
	Durable    inspect.LSN  `json:"durable"`
}

type optionsLine struct {
	Strategy   string `json:"strategy"`
	Durability string `json:"durability"`
	Ordered    bool   `json:"ordered"`
}

// lineOf describes a record.
func lineOf(rec inspect.Record, values bool) recordLine {
	o := rec.Op
	l := recordLine{
		LSN: rec.LSN, Kind: rec.Kind, Region: o.Region, Key: o.Key, Version: o.Version, Name: o.Name,
		Operations: o.Batch.Len(), LowWater: rec.LowWater, Stored: rec.Stored, Codec: rec.Codec, Durable: rec.Durable,
	}
	if rec.Number >= 0 {
		l.Number = &rec.Number
	}
	if o.Value != nil {
		n := len(o.Value)
		l.ValueSize = &n
		if values {
			l.Value = o.Value
		}
	}
	if o.Expiry != 0 {
		l.Expires = instant(o.Expiry)
	}
	if rec.Time != 0 {
		l.Time = instant(rec.Time)
	}
	if o.Kind == op.KindRegionCreate || o.Kind == op.KindRegionAlter {
		l.Options = &optionsLine{
			restart.Strategy(o.Options.Strategy).String(), restart.Durability(o.Options.Durability).String(), o.Options.Ordered,
		}
	}
	return l
}

// printRecord prints a record for people.
func (c *command) printRecord(l recordLine) {
	c.printf("%d", l.LSN)
	if l.Number != nil {
		c.printf("/%d", *l.Number)
	}
	c.printf(" %s", l.Kind)
	if l.Region != 0 {
		c.printf(" region=%d", l.Region)
	}
	if l.Key != nil {
		c.printf(" key=%s", c.text(l.Key))
	}
	switch {
	case l.Value != nil:
		c.printf(" value=%s", c.text(l.Value))
	case l.ValueSize != nil:
		c.printf(" value=%dB", *l.ValueSize)
	}
	if l.Operations != 0 {
		c.printf(" operations=%d", l.Operations)
	}
	if l.Version != 0 {
		c.printf(" version=%d", l.Version)
	}
	if l.LowWater != 0 {
		c.printf(" lsn=%d", l.LowWater)
	}
	for _, f := range [][2]string{{"name", l.Name}, {"expires", l.Expires}, {"time", l.Time}} {
		if f[1] != "" {
			c.printf(" %s=%s", f[0], f[1])
		}
	}
	if o := l.Options; o != nil {
		c.printf(" strategy=%s durability=%s ordered=%v", o.Strategy, o.Durability, o.Ordered)
	}
	c.printf("\n")
}
