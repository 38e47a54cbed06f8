package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
)

const (
	// replayRate is assumed for reading the log, as package restart does before
	// it has measured one.
	replayRate = 400e6
	// firstPart is what reading the first part and value takes.
	firstPart = 2 * time.Millisecond
)

// prediction says how the next restart of a store would go, until its first
// read.
type prediction struct {
	Rung   restart.Rung `json:"rung"`
	Image  string       `json:"image,omitempty"`
	Reason string       `json:"reason,omitempty"` // why no quicker rung
	// Replay is how much of the log is read before.
	Replay      int64   `json:"replay_bytes"`
	Parts       int     `json:"parts"` // of the image, read as they are used
	PredictedMS float64 `json:"predicted_ms"`
	OpenedMS    float64 `json:"opened_ms"` // part of it: measured, by opening log and image
	ReplayRate  int64   `json:"assumed_replay_bytes_per_second"`

	exact bool // the image's numbers of entries are what the store would have
}

// predict goes the way of an open without replaying anything. opened is how long
// opening the log took. It returns nil where the store would not open.
func predict(l *inspect.Log, s inspect.Stat, images []inspect.Image, opened time.Duration) (*prediction, error) {
	if s.Refused != nil {
		return nil, nil
	}
	p := &prediction{Rung: restart.RungFullScan, Replay: int64(s.End - s.First), ReplayRate: replayRate}
	var reasons []string
	for _, im := range images {
		if im.Later {
			return nil, nil
		}
		opened += im.Opened
		if !im.Fits {
			reasons = append(reasons, fmt.Sprintf("image %s: %s", im.Name, im.Reason))
			continue
		}
		data, released, err := l.Behind(im.From)
		if err != nil {
			return nil, err
		}
		switch {
		case len(reasons) > 0:
			p.Rung = restart.RungOlderImage
		case data:
			p.Rung = restart.RungImageTail
		default:
			p.Rung = restart.RungCleanImage
		}
		p.Image, p.Parts, p.Replay = im.Name, im.Parts, int64(s.End-max(s.First, im.From))
		p.exact = !data && !released
		break
	}
	if p.Reason = strings.Join(reasons, "; "); len(images) == 0 {
		p.Reason = "the store has no image"
	}
	took := opened + firstPart + time.Duration(float64(p.Replay)/replayRate*1e9)
	p.OpenedMS, p.PredictedMS = float64(opened.Microseconds())/1000, float64(took.Microseconds())/1000
	return p, nil
}

func (c *command) printPrediction(p *prediction) {
	reason := ""
	if p.Reason != "" {
		reason = " (" + p.Reason + ")"
	}
	c.printf("next restart: %s%s, %s to replay, %d parts to read as they are used; first read after about %.1f ms\n",
		p.Rung, reason, size(p.Replay), p.Parts, p.PredictedMS)
	c.printf("  an estimate: opening log and image took %.1f ms now, replay is taken to run at %d MB/s, the first part to take %v\n",
		p.OpenedMS, p.ReplayRate/1e6, firstPart)
}
