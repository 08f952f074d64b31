package record

import (
	"testing"
	"time"
)

func TestACallFailedUnlessAUserDecidedSo(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name     string
		ended    bool
		answered bool
		cause    Cause
		want     bool
	}{
		{"still in progress", false, false, Cause{}, false},
		{"talked and hung up", true, true, Cause{By: ByCaller, Q850: 16}, false},
		{"ended by an operator's command", true, true, Cause{By: ByOperator}, false},
		{"cut by the gateway", true, true, Cause{By: ByGateway}, true},
		{"answered on a node that was lost", true, true, Cause{By: ByNodeLost}, true},
		{"begun on a node that was lost", true, false, Cause{By: ByNodeLost}, true},
		{"busy", true, false, Cause{By: ByCallee, Status: 486}, false},
		{"cancelled", true, false, Cause{By: ByCaller, Status: 487}, false},
		{"not answered", true, false, Cause{By: ByCallee, Status: 480}, false},
		{"declined", true, false, Cause{By: ByCallee, Status: 603}, false},
		{"unknown number", true, false, Cause{By: ByCallee, Status: 404}, true},
		{"no peer left", true, false, Cause{By: ByGateway, Status: 503}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Call{Began: now, Cause: tt.cause}
			if tt.answered {
				c.Answered = &now
			}
			if tt.ended {
				c.Ended = &now
			}
			if got := c.Failed(); got != tt.want {
				t.Errorf("Failed() = %v", got)
			}
		})
	}
}
