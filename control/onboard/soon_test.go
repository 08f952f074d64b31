package onboard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// TestWhatWasMadeAMomentAgoIsWaitedFor, for a while and for nothing else.
func TestWhatWasMadeAMomentAgoIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing := fault.New(fault.NotFound, "not yet")
		for name, c := range map[string]struct {
			errs []error // of the tries; the last again and again
			want error
			took time.Duration
		}{
			"there at once":    {[]error{nil}, nil, 0},
			"there in a while": {[]error{missing, missing, nil}, nil, 3 * time.Second},
			"never there":      {[]error{missing}, missing, 15 * time.Second},
			"refused":          {[]error{missing, errors.ErrUnsupported}, errors.ErrUnsupported, time.Second},
		} {
			begun, try := time.Now(), 0
			err := soon(context.Background(), func() error {
				err := c.errs[min(try, len(c.errs)-1)]
				try++
				return err
			})
			if !errors.Is(err, c.want) || time.Since(begun) != c.took {
				t.Errorf("%s: %v after %v", name, err, time.Since(begun))
			}
		}
	})
}
