package tester

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func lab() *snapshot.Snapshot {
	return &snapshot.Snapshot{
		Gateway: "lab", Revision: 7, Emergency: []string{"112", "911"},
		Policy: snapshot.Policy{GroupService: map[string]snapshot.Service{"core": snapshot.OperatorConnect}},
		Groups: []snapshot.Group{
			{Name: "core", Side: snapshot.Operator, Peers: []snapshot.Peer{{Name: "core-1"}}},
			{Name: "teams", Side: snapshot.Cloud, Services: []snapshot.Service{snapshot.OperatorConnect}, Peers: []snapshot.Peer{{Name: "teams-1"}}},
		},
	}
}

func TestTestCallsHaveGroupsOfTheirOwn(t *testing.T) {
	s := lab()
	next := Extend(s)
	if len(s.Groups) != 2 || len(next.Groups) != 4 {
		t.Fatalf("%d and %d groups: what was published must stay as it is", len(s.Groups), len(next.Groups))
	}
	for _, g := range next.Groups[2:] {
		if !g.Tester || len(g.Peers[0].Priority)+len(g.Peers[0].Sources) > 0 {
			t.Errorf("%s: a test call's group must take no calls, and be met nowhere else: %+v", g.Name, g)
		}
	}
	if got := next.Groups[3].Services; len(got) != 1 || got[0] != snapshot.OperatorConnect {
		t.Errorf("the cloud's group is for %v", got)
	}
	if next.Policy.GroupService[Name(snapshot.Operator)] != snapshot.OperatorConnect || len(s.Policy.GroupService) != 1 {
		t.Errorf("calls of the core are for %v, of a test for %v", s.Policy.GroupService, next.Policy.GroupService)
	}
	if none := (&snapshot.Snapshot{}); Extend(none) != none {
		t.Error("a node without a gateway got groups")
	}
}

func TestWhatIsNoTestCall(t *testing.T) {
	tester := New(Config{Node: "r1-a", Snapshot: lab})
	defer tester.Close()
	good := link.TestQuestion{ID: "1", Towards: "cloud", From: "+441134960001", To: "+441134960002"}
	for _, tt := range []struct {
		name   string
		change func(*link.TestQuestion)
		kind   fault.Kind
	}{
		{"without a name", func(q *link.TestQuestion) { q.ID = "" }, fault.Invalid},
		{"to an emergency service", func(q *link.TestQuestion) { q.To = "+911" }, fault.Denied},
		{"to an emergency service, with separators", func(q *link.TestQuestion) { q.To = "1-1-2" }, fault.Denied},
		{"from one", func(q *link.TestQuestion) { q.From = "112" }, fault.Denied},
		{"towards nobody", func(q *link.TestQuestion) { q.Towards = "" }, fault.Invalid},
		{"to no number", func(q *link.TestQuestion) { q.To = "+44113496;x=\r\n" }, fault.Invalid},
		{"to a short one", func(q *link.TestQuestion) { q.To = "+123" }, fault.Invalid},
	} {
		q := good
		tt.change(&q)
		if _, err := tester.Ask(q); fault.Of(err) != tt.kind {
			t.Errorf("a call %s: %v", tt.name, err)
		}
	}
	idle := New(Config{Node: "r1-a", Snapshot: func() *snapshot.Snapshot { return &snapshot.Snapshot{} }})
	defer idle.Close()
	if _, err := idle.Ask(good); fault.Of(err) != fault.Unavailable {
		t.Errorf("a node without a gateway: %v", err)
	}
}

func TestWhatComesBackIsJudged(t *testing.T) {
	here := netip.MustParseAddrPort("127.0.0.1:4000")
	packet := func(payload []byte) []byte {
		p := make([]byte, 12, 12+len(payload))
		p[0], p[1] = 0x80, 8
		binary.BigEndian.PutUint16(p[2:], 1)
		return append(p, payload...)
	}
	tone := func(hz, level float64) func(n int) []byte {
		s := codec.NewSine(hz, level, rate)
		return func(n int) []byte {
			pcm := make([]int16, n)
			s.Fill(pcm)
			return codec.ALaw.Encode(nil, pcm)
		}
	}
	for _, tt := range []struct {
		name   string
		media  func(n int) []byte
		from   netip.AddrPort
		expect heard
	}{
		{"our tone", tone(toneHz, -20), here, heard{received: 10, sound: true, echo: true}},
		{"another tone", tone(440, -20), here, heard{received: 10, sound: true}},
		{"silence", func(n int) []byte { return codec.ALaw.Encode(nil, make([]int16, n)) }, here, heard{received: 10}},
		{"a stranger", tone(440, -20), netip.MustParseAddrPort("127.0.0.2:4000"), heard{}},
		{"nothing at all", func(int) []byte { return nil }, here, heard{}},
	} {
		l := &line{here: here.Addr(), law: codec.ALaw, pt: 8}
		for range 10 {
			l.take(packet(tt.media(samples)), tt.from)
		}
		if l.heard != tt.expect {
			t.Errorf("%s: %+v, want %+v", tt.name, l.heard, tt.expect)
		}
	}
}

func FuzzMedia(f *testing.F) {
	f.Add([]byte{0x80, 8, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3})
	f.Add([]byte{0x9f, 8, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(_ *testing.T, p []byte) {
		l := &line{here: loopback, law: codec.ALaw, pt: 8}
		l.take(p, netip.AddrPortFrom(loopback, 4000))
	})
}

func TestProblemsAreToldInASentence(t *testing.T) {
	for _, tt := range []struct {
		r    record.TestCall
		want string
	}{
		{record.TestCall{Status: 200, Answer: 1, Received: 9, MOS: 4.3}, ""},
		{record.TestCall{Status: 200, Answer: 1, Received: 9}, ""},
		{record.TestCall{Status: 404, Cause: record.Cause{Text: "nobody has that number"}}, "status 404, nobody has that number"},
		{record.TestCall{Status: 486}, "status 486 Busy Here"},
		{record.TestCall{}, "not answered in"},
		{record.TestCall{Status: 200, Answer: 1}, "no media came"},
		{record.TestCall{Status: 200, Answer: 1, Received: 9, OneWay: "the far side says that it hears nothing of us"}, "hears nothing of us"},
		{record.TestCall{Status: 200, Answer: 1, Received: 9, MOS: 2.2}, "MOS 2.2"},
	} {
		if got := problem(&tt.r, nil); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", tt.r, got, tt.want)
		}
	}
}
