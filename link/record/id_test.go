package record

import (
	"testing"
	"time"
)

func TestWhenCallsBeganIsInTheirIDs(t *testing.T) {
	// 06h03x6cy6… is an ID of 2026-11-22.
	from, until, ok := BegunWithin("06h03x6cy6")
	if !ok || until.Sub(from) != 8*time.Millisecond || from.UTC().Format(time.DateOnly) != "2026-11-22" {
		t.Errorf("%v to %v, %v", from, until, ok)
	}
	short, _, _ := BegunWithin("06h0")
	if short.After(from) {
		t.Errorf("less of it begins later: %v", short)
	}
	for _, no := range []string{"", "r1-a", "06H0", "06h03x6cy6aaaaaaaaaaaaaaaaa"} {
		if _, _, ok := BegunWithin(no); ok {
			t.Errorf("%q is the beginning of no ID", no)
		}
	}
}
