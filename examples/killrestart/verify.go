package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/vfs"
)

// verify does what "frsinspect verify" does: it reads every byte of the closed
// store's log and checks every checksum and every record.
func verify(ctx context.Context, dir string, f *findings) error {
	logs, err := filepath.Glob(filepath.Join(dir, "gen-*", "log")) // one: nothing was restored
	if err != nil || len(logs) != 1 {
		return errors.Join(err, fmt.Errorf("%d logs in %s, want one", len(logs), dir))
	}
	log, err := inspect.Open(vfs.Default, logs[0], false)
	if err != nil {
		return err
	}
	report, err := log.Verify(ctx, nil)
	for _, d := range report.Damage {
		f.damaged("%s at offset %d, LSN %d: %s", d.File, d.Offset, d.LSN, d.Reason)
	}
	return err
}
