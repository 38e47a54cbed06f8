package main

import (
	"context"
	"errors"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
)

// verify does what "frsinspect verify" does: it reads every byte of the closed
// store's log and images and checks every checksum, record and entry.
func verify(ctx context.Context, dir string, f *findings) (err error) {
	layout, lock, err := restart.OpenLayout(vfs.Default, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	log, err := inspect.OpenStore(vfs.Default, inspect.Store{
		Log: layout.Log, StoreID: layout.StoreID, Lineage: layout.Lineage, Generation: layout.Generation,
	})
	if err != nil {
		return err
	}
	report, err := log.Verify(ctx, nil)
	for _, d := range report.Damage {
		f.damaged("%s at offset %d, LSN %d: %s", d.File, d.Offset, d.LSN, d.Reason)
	}
	return errors.Join(err, log.Close())
}
