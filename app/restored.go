package app

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tandemgw/tandem/base/obs"
)

// restoredName is a file in the data folder of a control node that was brought
// back from a backup: edges have sent up records since, and know that they
// arrived, that are not there any more.
const restoredName = "restored.json"

// askRecords asks an edge to send up again the records of calls that began
// since a moment.
const askRecords = "records"

// The records to ask for begin before the backup, with calls that were under
// way then; an edge keeps them for a month.
const (
	longCall = 24 * time.Hour
	keepsFor = 30 * 24 * time.Hour
)

// restored is what the file says.
type restored struct {
	Made  time.Time `json:"made"`  // the backup
	Asked []string  `json:"asked"` // edges that have sent what they had
}

func readRestored(dir string) (restored, error) {
	var r restored
	text, err := os.ReadFile(filepath.Join(dir, restoredName))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

// write replaces the file.
func (r restored) write(dir string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, restoredName)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// markRestored leaves the file in an unpacked backup that has control's
// database. A backup made before all edges had been asked has one already.
func markRestored(dir string, made time.Time) error {
	r := restored{Made: made}
	if before, err := readRestored(dir); err == nil && before.Made.Before(made) {
		r.Made = before.Made
	}
	return r.write(dir)
}

// askForRecords asks each edge that comes, once, for the records that the
// restored database lacks, until none can have any.
func (p *plane) askForRecords() {
	dir := p.n.cfg.Node.Data
	r, err := readRestored(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		p.n.log.Error("which records a restoration lacks is not known", obs.KeyError, err)
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for time.Since(r.Made) < keepsFor {
		for _, e := range p.link.Edges() {
			if !e.Live || slices.Contains(r.Asked, e.Node) || !p.ask(e.Node, r.Made) {
				continue
			}
			r.Asked = append(r.Asked, e.Node)
			if err := r.write(dir); err != nil {
				p.n.log.Warn("an edge will be asked for its records once more", obs.KeyNode, e.Node, obs.KeyError, err)
			}
		}
		select {
		case <-tick.C:
		case <-p.n.life.Done():
			return
		}
	}
	_ = os.Remove(filepath.Join(dir, restoredName)) // the next start would do the same
}

func (p *plane) ask(edge string, made time.Time) bool {
	ctx, cancel := context.WithTimeout(p.n.life, askTime)
	defer cancel()
	if err := p.link.Ask(ctx, edge, askRecords, made.Add(-longCall), nil); err != nil {
		p.n.log.Debug("an edge was not asked for its records", obs.KeyNode, edge, obs.KeyError, err)
		return false
	}
	p.n.log.Info("an edge sends its records again, since control was restored", obs.KeyNode, edge)
	return true
}
