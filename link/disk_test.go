package link

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/link/record"
)

// TestAFullDiskOfTheServerPasses: edges keep what they have while there is no
// room, and everything goes on when there is, without anybody starting anything
// again.
func TestAFullDiskOfTheServerPasses(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("needs to mount a disk of its own, which takes root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	often := attend
	attend = 200 * time.Millisecond
	defer func() { attend = often }()
	s := serve(t, ServerConfig{Dir: dir})
	c := theControl(t, connect(t, s, "c1", true))
	conn := connect(t, s, "r1-a", false)
	publish := func(subject, text string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := conn.js.Publish(ctx, subject, []byte(text))
		return err
	}
	some := strings.Repeat("x", 200<<10)
	kept := make(chan record.Entry, 16)
	go func() {
		_ = c.Records(t.Context(), func(_ context.Context, list []record.Entry) error {
			for _, e := range list {
				kept <- e
			}
			return nil
		})
	}()
	until(t, "a report is taken", func() bool { return publish(statusSubject+"r1-a", `{"region":"r1"}`) == nil })
	fill(t, filepath.Join(dir, "ballast"))
	until(t, "the disk is full for the streams", func() bool { return publish(recordSubject+"r1-a", some) != nil })
	until(t, "it is noticed", func() bool { return s.stuck() != "" })
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	call := record.Call{ID: "x", Node: "r1-a"}
	text, err := json.Marshal(call)
	if err != nil {
		t.Fatal(err)
	}
	batch, _, err := packEntries([]record.Owed{{Number: 1, Stage: record.Finished, JSON: text}})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "records are taken again", func() bool { return publish(recordSubject+"r1-a", string(batch)) == nil })
	until(t, "reports are", func() bool { return publish(statusSubject+"r1-a", `{"region":"r2"}`) == nil })
	until(t, "control has the report", func() bool { e, _ := c.Edge("r1-a"); return e.Region == "r2" })
	select {
	case e := <-kept:
		if e.Call.ID != "x" {
			t.Errorf("kept is %+v", e)
		}
	case <-time.After(20 * time.Second):
		t.Error("a record that was taken is not kept")
	}
}

// fill takes all room that there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
}
