package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var twoCalls = []any{
	map[string]any{
		"id": "a", "testLine": "OC1", "state": "passed", "towards": "cloud", "from": "+441134960002", "to": "+441134960001", "node": "r1-a",
		"ringMs": 180, "answerMs": 420, "mos": 4.37, "heard": true, "call": "06h03x6cy65p5zh3kfpqrm5p5r",
	},
	map[string]any{
		"id": "b", "testLine": "OC1", "state": "failed", "towards": "operator", "from": "+441134960002", "to": "+441134960001", "node": "r1-a",
		"problem": "not answered: status 404, nobody has that number",
	},
}

func TestWhatATestCallShows(t *testing.T) {
	c := startCloud(t)
	c.resources[oneGateway+"/testlines/oc1/calls"] = map[string]any{"value": twoCalls}
	c.resources[oneGateway+"/testlines/oc1/call"] = map[string]any{"value": []any{map[string]any{"id": "a"}, map[string]any{"id": "b"}}}
	out, err := tandem("test-line", "call", "OC1", "-g", "rg", "--gateway-name", "gw")
	if err == nil || ExitStatus(err) != ExitFailure || !strings.Contains(err.Error(), "towards the operator is not good: not answered: status 404") {
		t.Errorf("exit %d: %v", ExitStatus(err), err)
	}
	want := `✓ OC1 towards the cloud, by r1-a
    +441134960002 → +441134960001: rang after 180 ms, answered after 420 ms,
    MOS 4.4
    tandem call show 06h03x6cy65p5zh3kfpqrm5p5r
✗ OC1 towards the operator, by r1-a
    +441134960002 → +441134960001: not answered: status 404, nobody has that
    number
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
	c.resources[oneGateway+"/testlines/oc1/call"] = map[string]any{"value": []any{map[string]any{"id": "a"}}}
	if out, err := tandem("test-line", "call", "-n", "OC1", "-g", "rg", "--gateway-name", "gw", "--towards", "cloud", "--query", "[0].state"); err != nil || out != "\"passed\"\n" {
		t.Errorf("--query: %q, %v", out, err)
	}
	if _, err := tandem("test-line", "call", "OC1", "-n", "OC2", "-g", "rg", "--gateway-name", "gw"); ExitStatus(err) != ExitUsage {
		t.Errorf("two names: %v", err)
	}
}

func TestReadinessShowsTestCallsAndWhatIsAway(t *testing.T) {
	c := startCloud(t)
	c.resources[oneGateway+"/readiness"] = map[string]any{"properties": map[string]any{
		"ready": false, "provisioningState": "Succeeded", "status": "Complete", "services": []any{}, "testCalls": twoCalls, "testSchedule": map[string]any{"interval": "15m0s"},
		"problems": []any{"westeurope carries no calls: edge r1-a of westeurope is away since 10:00:00 on 2 January: start it again, or see whether it reaches this control node"},
		"warnings": []any{"integratedMcpEnabled: nobody is asked"},
	}}
	out, err := tandem("gateway", "readiness", "-g", "rg", "-n", "gw")
	if err != nil {
		t.Fatal(err)
	}
	want := `gateway gw: Succeeded, Complete, not ready

  test calls, one every 15m0s
    ✓ OC1 towards the cloud by r1-a: rang after 180 ms, answered after 420
    ms, MOS 4.4
    ✗ OC1 towards the operator by r1-a: not answered: status 404, nobody has
    that number

! westeurope carries no calls: edge r1-a of westeurope is away since
    10:00:00 on 2 January: start it again, or see whether it reaches this
    control node
! integratedMcpEnabled: nobody is asked
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
}

func TestTheScheduleIsShownAndChanged(t *testing.T) {
	c := startCloud(t)
	c.resources[oneGateway+"/testschedule"] = map[string]any{"interval": "0s"}
	if out, err := tandem("gateway", "test-schedule", "-g", "rg", "-n", "gw", "--query", "interval"); err != nil || out != "\"0s\"\n" {
		t.Errorf("%q, %v", out, err)
	}
	for _, line := range []string{"--jitter 1m", "--every 15m --off"} {
		args := append([]string{"gateway", "test-schedule", "-g", "rg", "-n", "gw"}, strings.Fields(line)...)
		if _, err := tandem(args...); err == nil {
			t.Errorf("%s is taken", line)
		}
	}
}
