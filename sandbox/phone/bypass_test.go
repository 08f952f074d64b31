package phone

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/sandbox/ice"
)

// What a gateway says of ICE is held against what it has said before
// (RFC 8839 section 4.4).
func TestWhatAGatewayChangesOfICE(t *testing.T) {
	const first = "v=0\r\no=- 1 1 IN IP4 203.0.113.10\r\ns=-\r\nc=IN IP4 203.0.113.10\r\nt=0 0\r\na=ice-lite\r\nm=audio 30020 RTP/SAVP 8\r\n" +
		"a=ice-ufrag:Sb7Q\r\na=ice-pwd:q5mZr0yK2c9wX4tB8nVhLd\r\na=candidate:1 1 UDP 2130706431 203.0.113.10 30020 typ host\r\na=rtcp-mux\r\n"
	other := strings.NewReplacer("Sb7Q", "Tc8R", "q5mZ", "r6nA").Replace(first)
	agent := ice.New(ice.Config{Socket: netip.MustParseAddrPort("127.0.0.1:9"), Broken: func(string, string, ...any) {}, Changed: func() {}})
	defer agent.Close()
	for _, x := range []struct {
		name, next, rule string
		answer, restart  bool
	}{
		{"the same", first, "", true, false},
		{"another password", other, "ice-changed", true, false},
		{"another password in its offer", other, "", false, true},
		{"another candidate", strings.ReplaceAll(first, "30020", "30024"), "ice-changed", true, false},
		{"a restart", other, "", true, true},
		{"a restart that it does not see", first, "ice-restart", true, true},
		{"none in an answer", "v=0\r\nm=audio 1 RTP/SAVP 8\r\n", "ice-answer", true, false},
	} {
		s := &session{client: &client{agent: agent}, raw: first}
		if err := s.judgeICE(true); err != nil || s.faults != nil {
			t.Fatalf("%v %v", err, s.faults)
		}
		s.raw, s.restarting = x.next, x.restart
		if err := s.judgeICE(x.answer); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		has := slices.ContainsFunc(s.faults, func(f ice.Fault) bool { return f.Rule == x.rule })
		if x.rule == "" && s.faults != nil || x.rule != "" && !has {
			t.Errorf("%s: %v", x.name, s.faults)
		}
	}
	s := &session{client: &client{agent: agent}, raw: "v=0\r\nm=audio 1 RTP/SAVP 8\r\n"}
	if err := s.judgeICE(false); !errors.Is(err, ErrNoICE) {
		t.Errorf("an offer without: %v", err)
	}
}
