package e2e

import (
	"testing"
)

func TestHostilePeace(t *testing.T) {
	s := besiege(t)
	s.inProcess()
	s.endured(s.attack(func() {}))
}
