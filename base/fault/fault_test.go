package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
)

func TestAPlainErrorIsInternal(t *testing.T) {
	if got := fault.Of(errors.New("disk")); got != fault.Internal {
		t.Errorf("kind of a plain error = %v, want internal", got)
	}
}

func TestTheKindSurvivesWrapping(t *testing.T) {
	cause := errors.New("no such number")
	err := fmt.Errorf("look up: %w", &fault.Error{Kind: fault.NotFound, Public: "number not found", Err: cause})
	if got := fault.Of(err); got != fault.NotFound {
		t.Errorf("kind = %v, want not found", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
}

func TestEveryKindHasItsOwnName(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range fault.Kinds() {
		if seen[k.String()] {
			t.Errorf("two kinds are called %q", k)
		}
		seen[k.String()] = true
	}
}
