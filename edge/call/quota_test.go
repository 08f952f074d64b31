package call

import (
	"testing"
	"time"
)

func TestCallsThatComeToNothingFillNoLog(t *testing.T) {
	var q quota
	now := time.Unix(0, 0)
	said := 0
	for range 1000 {
		if _, ok := q.take("wild", now); ok {
			said++
		}
	}
	if said != linesPerSecond {
		t.Errorf("%d lines in a second", said)
	}
	if _, ok := q.take("good", now); !ok {
		t.Error("another peer pays for it")
	}
	if missing, ok := q.take("wild", now.Add(time.Second)); !ok || missing != 1000-linesPerSecond {
		t.Errorf("a second later: %t, %d missing", ok, missing)
	}
	if missing, ok := q.take("wild", now.Add(time.Second)); !ok || missing != 0 {
		t.Errorf("and then: %t, %d missing", ok, missing)
	}
}
