package ua

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/wire/sip"
)

// The examples of the RFCs, computed by others.
func TestTheExamplesOfTheRFCs(t *testing.T) {
	for _, x := range []struct {
		name             string
		a                algorithm
		user, realm      string
		secret           obs.Secret
		nonce, cnonce    string
		qop, method, uri string
		want             string
	}{
		{
			"RFC 7616 3.9.1, MD5", md5Hash, "Mufasa", "http-auth@example.org", "Circle of Life",
			"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
			"auth", "GET", "/dir/index.html", "8ca523f5e9506fed4657c9700eebdbec",
		},
		{
			"RFC 7616 3.9.1, SHA-256", sha256Hash, "Mufasa", "http-auth@example.org", "Circle of Life",
			"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
			"auth", "GET", "/dir/index.html", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
		},
		{
			// As corrected by erratum 4897: the text truncates SHA-512 instead.
			"RFC 7616 3.9.2, SHA-512-256", sha512Hash, "J\u00e4s\u00f8n Doe", "api@example.org", "Secret, or not?",
			"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
			"auth", "GET", "/doe.json", "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
		},
		{
			"RFC 2617 3.5, MD5", md5Hash, "Mufasa", "testrealm@host.com", "Circle Of Life",
			"dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b",
			"auth", "GET", "/dir/index.html", "6629fae49393a05397450978507c4ef1",
		},
	} {
		got := proof{
			algorithm: x.a, key: x.a.key(x.user, x.realm, x.secret), nonce: x.nonce, cnonce: x.cnonce,
			nc: "00000001", qop: x.qop, method: x.method, uri: x.uri,
		}.response()
		if got != x.want {
			t.Errorf("%s: got %s, want %s", x.name, got, x.want)
		}
	}
}

// RFC 2617 3.5 without qop is RFC 2069; auth-int adds the body. Both are
// checked against the definition, written out.
func TestOtherProtections(t *testing.T) {
	h := md5Hash.of
	p := proof{algorithm: md5Hash, key: "k", nonce: "n", cnonce: "c", nc: "00000001", method: "INVITE", uri: "sip:a@b", body: []byte("v=0")}
	if got, want := p.response(), h("k", "n", h("INVITE", "sip:a@b")); got != want {
		t.Errorf("without qop: %s, want %s", got, want)
	}
	p.qop = qopInt
	if got, want := p.response(), h("k", "n", "00000001", "c", "auth-int", h("INVITE", "sip:a@b", h("v=0"))); got != want {
		t.Errorf("auth-int: %s, want %s", got, want)
	}
}

// registrar is the far side of the tests: a challenge, and what it thinks of
// the answer.
func challenged(status int, headers ...string) *sip.Message {
	resp := sip.NewResponse(invite(1), status, "")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		resp.Add(name, value)
	}
	return resp
}

func invite(seq int) *sip.Message {
	m := sip.NewRequest("INVITE", "sip:+441134960000@carrier.example")
	m.Add("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
	m.Add("From", "<sip:a@b>;tag=1")
	m.Add("To", "<sip:c@d>")
	m.Add("Call-ID", "x")
	m.Add("CSeq", fmt.Sprint(seq, " INVITE"))
	m.SetBody("application/sdp", []byte("v=0"))
	return m
}

func proverOf(c Credentials) *Prover {
	return NewProver(func() (Credentials, error) { return c, nil })
}

var us = Credentials{Username: "trunk", Secret: "hunter2"}

// answers are the parameters of the proofs that a prover puts on a request.
func answers(t *testing.T, p *Prover, header string, req *sip.Message) []credential {
	t.Helper()
	p.Sign(req)
	var all []credential
	for line := range req.Values(header) {
		list, err := parseCredentials(line)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %s: %v", header, line, err)
		}
		all = append(all, list[0])
	}
	return all
}

func one(t *testing.T, p *Prover, header string, req *sip.Message) credential {
	t.Helper()
	all := answers(t, p, header, req)
	if len(all) != 1 {
		t.Fatalf("%d lines of %s in\n%s", len(all), header, req)
	}
	return all[0]
}

// right recomputes a proof by the secret.
func right(c credential, req *sip.Message, cred Credentials) bool {
	a, session, ok := algorithmOf(c.get("algorithm"))
	key := a.key(cred.Username, c.get("realm"), cred.Secret)
	if session {
		key = a.of(key, c.get("nonce"), c.get("cnonce"))
	}
	return ok && c.get("username") == cred.Username && c.get("uri") == req.RequestURI && c.get("response") == proof{
		algorithm: a, key: key, nonce: c.get("nonce"), cnonce: c.get("cnonce"), nc: c.get("nc"), qop: c.get("qop"),
		method: req.Method, uri: req.RequestURI, body: req.Body,
	}.response()
}

func TestAProverAnswersAndCounts(t *testing.T) {
	p := proverOf(us)
	req := invite(1)
	if p.Sign(req); req.Has("Authorization") {
		t.Error("it proves before it is asked")
	}
	resp := challenged(401, `WWW-Authenticate: Digest realm="a \"b\" \\c", nonce="n1", opaque="o", algorithm=SHA-256, qop="auth-int, auth"`)
	if err := p.Learn(req, resp, 0); err != nil {
		t.Fatal(err)
	}
	again := req
	if Again(again); again.Get("CSeq") != "2 INVITE" {
		t.Errorf("CSeq %q", again.Get("CSeq"))
	}
	for i, want := range []string{"00000001", "00000002", "00000003"} {
		c := one(t, p, "Authorization", again)
		if !right(c, again, us) || c.get("nc") != want || c.get("qop") != "auth" || c.get("opaque") != "o" || c.get("realm") != `a "b" \c` {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if line := again.Get("Authorization"); !strings.Contains(line, `realm="a \"b\" \\c"`) || !strings.Contains(line, ",algorithm=SHA-256,") || strings.Contains(line, "hunter2") {
		t.Error(line)
	}
}

func TestAnAlgorithmThatWasNotNamedIsNot(t *testing.T) {
	p := proverOf(us)
	if err := p.Learn(invite(1), challenged(401, `WWW-Authenticate: Digest realm="r",nonce="n"`), 0); err != nil {
		t.Fatal(err)
	}
	req := invite(2)
	c := one(t, p, "Authorization", req)
	if !right(c, req, us) || c.get("algorithm") != "" || c.get("nc") != "" || c.get("cnonce") != "" || c.get("qop") != "" {
		t.Errorf("%+v", c)
	}
	if strings.Contains(req.Get("Authorization"), "opaque") {
		t.Error("opaque was not given")
	}
}

func TestTheStrongestChallengeOfEachRealm(t *testing.T) {
	p := proverOf(us)
	err := p.Learn(invite(1), challenged(407,
		`Proxy-Authenticate: Digest realm="a",nonce="1",qop="auth",algorithm=MD5`,
		`Proxy-Authenticate: Digest realm="a",nonce="2",qop="auth",algorithm=SHA-512-256`,
		`Proxy-Authenticate: Digest realm="a",nonce="3",qop="auth",algorithm=SHA-256`,
		`Proxy-Authenticate: Digest realm="b",nonce="4",qop="auth",algorithm=whirlpool`,
		`Proxy-Authenticate: Digest realm="b",nonce="5",qop="auth",algorithm=SHA-256-sess`,
		`WWW-Authenticate: Basic realm="a"`,
		`WWW-Authenticate: Digest realm="a",nonce="6",qop="auth"`,
	), 0)
	if err != nil {
		t.Fatal(err)
	}
	req := invite(2)
	proxies := answers(t, p, "Proxy-Authorization", req)
	if len(proxies) != 2 || proxies[0].get("nonce") != "2" || proxies[1].get("nonce") != "5" || !right(proxies[0], req, us) || !right(proxies[1], req, us) {
		t.Errorf("%+v", proxies)
	}
	if c := one(t, p, "Authorization", invite(2)); c.get("nonce") != "6" {
		t.Errorf("%+v", c)
	}
}

func TestChallengesThatCannotBeAnswered(t *testing.T) {
	realm := Credentials{Username: "trunk", Secret: "hunter2", Realm: "ours"}
	for _, x := range []struct {
		cred   Credentials
		header string
		want   string
	}{
		{us, `WWW-Authenticate: Basic realm="x"`, "the scheme \"Basic\""},
		{us, `WWW-Authenticate: Digest realm="x",nonce="n",algorithm=SHA-1`, "the algorithm \"SHA-1\""},
		{us, `WWW-Authenticate: Digest realm="x"`, "no nonce"},
		{us, `WWW-Authenticate: Digest realm="x",nonce="n",qop="auth-conf"`, "the protection \"auth-conf\""},
		{us, `WWW-Authenticate: Digest realm="x",nonce="n",algorithm=MD5-sess`, "without a qop"},
		{us, `WWW-Authenticate: Digest realm="x",nonce="n`, "cannot be read"},
		{us, `WWW-Authenticate: Digest realm="x",realm="y",nonce="n"`, "stands twice"},
		{us, `X: y`, "without saying how"},
		{realm, `WWW-Authenticate: Digest realm="theirs",nonce="n"`, "ours is for \"ours\""},
	} {
		p := proverOf(x.cred)
		err := p.Learn(invite(1), challenged(401, x.header), 0)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want … %s …", x.header, err, x.want)
		}
		if req := invite(2); len(answers(t, p, "Authorization", req)) != 0 {
			t.Errorf("%s is answered", x.header)
		}
	}
	p := NewProver(func() (Credentials, error) { return Credentials{}, errors.New("no secret") })
	if err := p.Learn(invite(1), challenged(401, `WWW-Authenticate: Digest realm="x",nonce="n"`), 0); err == nil || err.Error() != "no secret" {
		t.Error(err)
	}
}

// A far side that refuses for ever gets one proof for each nonce that may be
// worth it, and no more.
func TestAProverNeverLoops(t *testing.T) {
	ask := func(nonce string, stale bool) *sip.Message {
		h := `WWW-Authenticate: Digest realm="r",qop="auth",nonce="` + nonce + `"`
		if stale {
			h += ",stale=TRUE"
		}
		return challenged(401, h)
	}
	for _, x := range []struct {
		name  string
		resp  func(try int) *sip.Message
		tries int
	}{
		{"the same nonce", func(int) *sip.Message { return ask("n", false) }, 1},
		{"new nonces, not stale", func(i int) *sip.Message { return ask(fmt.Sprint(i), false) }, 1},
		{"new nonces, always stale", func(i int) *sip.Message { return ask(fmt.Sprint(i), true) }, maxTries},
		{"the same nonce, stale", func(int) *sip.Message { return ask("n", true) }, 1},
		{"new realms", func(i int) *sip.Message {
			return challenged(407, fmt.Sprintf(`Proxy-Authenticate: Digest realm="%d",nonce="n"`, i))
		}, maxTries},
	} {
		p := proverOf(us)
		req, tries := invite(1), 0
		p.Sign(req)
		for p.Learn(req, x.resp(tries), tries) == nil {
			Again(req)
			p.Sign(req)
			if tries++; tries > 10 {
				break
			}
		}
		if tries != x.tries {
			t.Errorf("%s: sent again %d times, want %d", x.name, tries, x.tries)
		}
	}
}

// A nonce that was good for earlier requests may run out with or without
// anybody saying so.
func TestAnOldNonceIsReplacedOnce(t *testing.T) {
	p := proverOf(us)
	ask := func(nonce string) *sip.Message {
		return challenged(401, `WWW-Authenticate: Digest realm="r",qop="auth",nonce="`+nonce+`"`)
	}
	if err := p.Learn(invite(1), ask("1"), 0); err != nil {
		t.Fatal(err)
	}
	req := invite(2)
	p.Sign(req)
	if err := p.Learn(req, ask("2"), 0); err != nil {
		t.Fatal("a later request is not proven anew:", err)
	}
	p.Sign(req)
	if err := p.Learn(req, ask("3"), 1); err == nil || !strings.Contains(err.Error(), `does not accept the name "trunk"`) {
		t.Errorf("got %v", err)
	}
}

// A far side with one nonce for all of our requests makes those that are under
// way useless with each challenge.
func TestAnotherRequestsChallengeIsNoRefusal(t *testing.T) {
	p := proverOf(us)
	ask := func(nonce string) *sip.Message {
		return challenged(401, `WWW-Authenticate: Digest realm="r",qop="auth",nonce="`+nonce+`"`)
	}
	_ = p.Learn(invite(1), ask("1"), 0)
	req := invite(2)
	p.Sign(req)
	_ = p.Learn(invite(1), ask("2"), 0) // another request
	if err := p.Learn(req, ask("3"), 1); err != nil {
		t.Error(err)
	}
}

func TestASecretThatWasReplacedIsTried(t *testing.T) {
	cred := us
	p := NewProver(func() (Credentials, error) { return cred, nil })
	ask := challenged(401, `WWW-Authenticate: Digest realm="r",qop="auth",nonce="n"`)
	req := invite(1)
	_ = p.Learn(req, ask, 0)
	p.Sign(req)
	cred.Secret = "new"
	if err := p.Learn(req, ask, 0); err != nil {
		t.Fatal(err)
	}
	if c := one(t, p, "Authorization", req); !right(c, req, cred) {
		t.Errorf("%+v", c)
	}
	if err := p.Learn(req, ask, 1); err == nil {
		t.Error("it is tried for ever")
	}
}

// A far side that hands everybody the same nonce counts all of our requests.
func TestTheCountGoesOnWithTheSameNonce(t *testing.T) {
	p := proverOf(us)
	ask := challenged(401, `WWW-Authenticate: Digest realm="r",qop="auth",nonce="n"`)
	_ = p.Learn(invite(1), ask, 0)
	one(t, p, "Authorization", invite(2))
	if err := p.Learn(invite(1), ask, 0); err != nil { // another call, sent before the first was answered
		t.Fatal(err)
	}
	if c := one(t, p, "Authorization", invite(2)); c.get("nc") != "00000002" {
		t.Errorf("%+v", c)
	}
}

func TestTheNextNonceIsTaken(t *testing.T) {
	p := proverOf(us)
	_ = p.Learn(invite(1), challenged(401, `WWW-Authenticate: Digest realm="r",qop="auth",nonce="n"`), 0)
	first := one(t, p, "Authorization", invite(2))
	p.Heard(challenged(200, `Authentication-Info: nextnonce="other", cnonce="not ours"`))
	p.Heard(challenged(200, `Proxy-Authentication-Info: nextnonce="other"`))
	p.Heard(challenged(200, `Authentication-Info: nextnonce`))
	if c := one(t, p, "Authorization", invite(2)); c.get("nonce") != "n" || c.get("nc") != "00000002" {
		t.Errorf("%+v", c)
	}
	p.Heard(challenged(200, `Authentication-Info: nextnonce="next", qop=auth, cnonce="`+first.get("cnonce")+`"`))
	req := invite(2)
	if c := one(t, p, "Authorization", req); c.get("nonce") != "next" || c.get("nc") != "00000001" || !right(c, req, us) {
		t.Errorf("%+v", c)
	}
}

func TestADomainBoundsWhatIsShownUnasked(t *testing.T) {
	p := proverOf(us)
	_ = p.Learn(invite(1), challenged(401, `WWW-Authenticate: Digest realm="r",nonce="n",domain="sip:other.example sip:Carrier.example"`), 0)
	if len(answers(t, p, "Authorization", invite(2))) != 1 {
		t.Error("nothing is shown within the domain")
	}
	elsewhere := invite(2)
	elsewhere.RequestURI = "sip:x@third.example"
	if len(answers(t, p, "Authorization", elsewhere)) != 0 {
		t.Error("it is shown outside of the domain")
	}
}

func TestAuthIntProtectsTheBody(t *testing.T) {
	p := proverOf(us)
	_ = p.Learn(invite(1), challenged(401, `WWW-Authenticate: Digest realm="r",nonce="n",qop="auth-int"`), 0)
	req := invite(2)
	c := one(t, p, "Authorization", req)
	if !right(c, req, us) || c.get("qop") != "auth-int" {
		t.Errorf("%+v", c)
	}
	req.Body = []byte("v=1")
	if right(c, req, us) {
		t.Error("another body has the same proof")
	}
}

// gate is a gate and a client that knows its secret.
func pass(t *testing.T, g *Gate, p *Prover, cred Credentials, now time.Time) Verdict {
	t.Helper()
	req := invite(1)
	p.Sign(req)
	v := g.Judge(req, cred, now)
	if v == Proven {
		return v
	}
	if err := p.Learn(req, g.Challenge(req, v, now), 0); err != nil {
		t.Log(err)
		return v
	}
	p.Sign(req)
	return g.Judge(req, cred, now)
}

func TestAGateOpensToTheRightSecret(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, algorithms := range [][]string{nil, {"SHA-256", "MD5"}, {"MD5"}, {"SHA-512-256"}} {
		g := NewGate("r1.tandem.example", algorithms...)
		if v := pass(t, g, proverOf(us), us, now); v != Proven {
			t.Errorf("the right one: %d", v)
		}
		for _, cred := range []Credentials{{Username: "trunk", Secret: "hunter3"}, {Username: "Trunk", Secret: "hunter2"}, {Username: "trunk"}} {
			if v := pass(t, g, proverOf(cred), us, now); v != Refused {
				t.Errorf("%s: %d", cred.Username, v)
			}
		}
	}
}

func TestAGateAsksInItsOrder(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, x := range []struct {
		algorithms []string
		want       string
	}{
		{nil, "[SHA-256]"},
		{[]string{"SHA-256", "MD5"}, "[SHA-256 MD5]"},
		{[]string{"MD5", "SHA-512-256"}, "[MD5 SHA-512-256]"},
		{[]string{"MD5-sess", "ROT13"}, "[SHA-256]"},
	} {
		var got []string
		for line := range NewGate(`a "realm"`, x.algorithms...).Challenge(invite(1), Unproven, now).Values("WWW-Authenticate") {
			list, err := parseCredentials(line)
			if err != nil || list[0].get("realm") != `a "realm"` || list[0].get("qop") != "auth" || list[0].get("stale") != "" {
				t.Errorf("%s: %v", line, err)
			}
			got = append(got, list[0].get("algorithm"))
		}
		if fmt.Sprint(got) != x.want {
			t.Errorf("%v: got %v, want %s", x.algorithms, got, x.want)
		}
	}
	for _, name := range Algorithms() {
		if a, _, ok := algorithmOf(name); !ok || a.String() != name {
			t.Errorf("%s is not read as it is written", name)
		}
	}
}

// old signs with one algorithm only, as old far sides do.
func old(g *Gate, req *sip.Message, algorithm string, now time.Time) {
	a, _, _ := algorithmOf(algorithm)
	s := session{
		challenge: challenge{realm: g.realm, nonce: g.nonce(now), algorithm: a, spelled: algorithm, qop: qopAuth},
		username:  us.Username, key: a.key(us.Username, g.realm, us.Secret), cnonce: "c",
	}
	req.Add("Authorization", s.sign(req))
}

func TestOnlyTheAlgorithmsAskedForAreTaken(t *testing.T) {
	now := time.Unix(1e9, 0)
	both := []string{"SHA-256", "MD5"}
	for _, x := range []struct {
		asked     []string
		algorithm string
		want      Verdict
	}{
		{both, "MD5", Proven},
		{both, "", Proven},
		{nil, "MD5", Refused},
		{nil, "", Refused},
		{both, "SHA-256", Proven},
		{both, "SHA-512-256", Refused},
		{both, "SHA-256-sess", Refused},
		{[]string{"MD5"}, "SHA-256", Refused},
	} {
		g, req := NewGate("r", x.asked...), invite(1)
		old(g, req, x.algorithm, now)
		if v := g.Judge(req, us, now); v != x.want {
			t.Errorf("%q, asked for %v: %d, want %d", x.algorithm, x.asked, v, x.want)
		}
	}
}

func TestAProofOpensOnce(t *testing.T) {
	now := time.Unix(1e9, 0)
	g, p := NewGate("r"), proverOf(us)
	pass(t, g, p, us, now)
	req := invite(1)
	p.Sign(req)
	overheard := req.Clone()
	if v := g.Judge(req, us, now); v != Proven {
		t.Fatalf("the next number: %d", v)
	}
	if v := g.Judge(overheard, us, now); v != Stale {
		t.Errorf("the same again: %d", v)
	}
	other := overheard.Clone()
	other.RequestURI = "sip:+19005550100@carrier.example"
	if v := g.Judge(other, us, now); v != Refused {
		t.Errorf("another number called with it: %d", v)
	}
	moved := invite(1)
	p.Sign(moved)
	moved.RequestURI = "sip:+441134960000@10.0.0.1:5060"
	if v := g.Judge(moved, us, now); v != Proven {
		t.Errorf("a proxy that rewrote the host: %d", v)
	}
}

func TestRequestsMayOvertakeEachOther(t *testing.T) {
	now := time.Unix(1e9, 0)
	g, p := NewGate("r"), proverOf(us)
	pass(t, g, p, us, now) // 1
	var sent []*sip.Message
	for range 100 { // 2 to 101
		req := invite(1)
		p.Sign(req)
		sent = append(sent, req)
	}
	judge := func(i int) Verdict { return g.Judge(sent[i], us, now) }
	if judge(99) != Proven || judge(98) != Proven || judge(36) != Proven {
		t.Error("one that was overtaken is refused")
	}
	if judge(99) != Stale || judge(98) != Stale || judge(36) != Stale {
		t.Error("one that was overtaken opens twice")
	}
	if judge(35) != Stale {
		t.Error("one too far behind is not known to be new")
	}
}

func TestANonceRunsOut(t *testing.T) {
	now := time.Unix(1e9, 0)
	g, p := NewGate("r"), proverOf(us)
	pass(t, g, p, us, now)
	for _, x := range []struct {
		after time.Duration
		want  Verdict
	}{{nonceLife, Proven}, {nonceLife + 1, Stale}, {-time.Second, Stale}} {
		req := invite(1)
		p.Sign(req)
		if v := g.Judge(req, us, now.Add(x.after)); v != x.want {
			t.Errorf("after %v: %d, want %d", x.after, v, x.want)
		}
	}
	later := now.Add(time.Hour)
	req := invite(1)
	p.Sign(req)
	resp := g.Challenge(req, g.Judge(req, us, later), later)
	if !strings.Contains(resp.Get("WWW-Authenticate"), "stale=true") {
		t.Error(resp.Get("WWW-Authenticate"))
	}
	if v := pass(t, g, p, us, later); v != Proven {
		t.Errorf("with the nonce that replaced it: %d", v)
	}
}

func TestNoncesOfOthersAreNotOurs(t *testing.T) {
	now := time.Unix(1e9, 0)
	g, other := NewGate("r"), NewGate("r")
	req := invite(1)
	old(other, req, "SHA-256", now)
	if v := g.Judge(req, us, now); v != Stale {
		t.Errorf("that of another process, with the right secret: %d", v)
	}
	for _, nonce := range []string{"", "x", strings.Repeat("A", 43), g.nonce(now) + "A", "=" + g.nonce(now)[1:]} {
		if _, ok := g.made(nonce); ok {
			t.Errorf("%q is taken for ours", nonce)
		}
	}
}

// A far side that needs a fresh nonce for every request must not fill the
// memory, and what is forgotten must not open anything again.
func TestTheMemoryOfAGateIsBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	g := NewGate("r")
	req := invite(1)
	old(g, req, "SHA-256", now.Add(-time.Second))
	if g.Judge(req, us, now) != Proven {
		t.Fatal("not even once")
	}
	for i := range maxNonces {
		if v := g.count(fmt.Sprint(i), now, 1, now); v != Proven && i < maxNonces-1 {
			t.Fatalf("%d: %d", i, v)
		}
	}
	if len(g.used) > maxNonces {
		t.Errorf("%d nonces are remembered", len(g.used))
	}
	if v := g.Judge(req, us, now); v != Stale {
		t.Errorf("what was forgotten opens again: %d", v)
	}
	// With time the old ones go, and nothing needs to be forgotten early.
	g2 := NewGate("r")
	for i := range maxNonces {
		g2.count(fmt.Sprint(i), now, 1, now)
	}
	later := now.Add(nonceLife + time.Second)
	if v := g2.count("new", later, 1, later); v != Proven || len(g2.used) != 1 || !g2.floor.IsZero() {
		t.Errorf("%d, %d remembered", v, len(g2.used))
	}
}

func TestARequestWithoutAUsableProof(t *testing.T) {
	now := time.Unix(1e9, 0)
	g := NewGate("r")
	for _, x := range []struct {
		line string
		want Verdict
	}{
		{"", Unproven},
		{`Digest realm="other",username="trunk"`, Unproven},
		{`Basic dHJ1bms6aHVudGVyMg==`, Unproven},
		{`Digest realm="r`, Unproven},
		{`Digest realm="r"`, Refused},
		{`Digest realm="r",username="trunk",qop=auth,algorithm=SHA-256,nc=00000001,response=""`, Refused},
	} {
		req := invite(1)
		if x.line != "" {
			req.Add("Authorization", x.line)
		}
		if v := g.Judge(req, us, now); v != x.want {
			t.Errorf("%s: %d, want %d", x.line, v, x.want)
		}
	}
	// A wrong proof before the right one does not hide it; many do.
	req := invite(1)
	for range maxProofs - 1 {
		req.Add("Authorization", `Digest realm="r",username="x"`)
	}
	two := req.Clone()
	old(g, req, "SHA-256", now)
	if v := g.Judge(req, us, now); v != Proven {
		t.Errorf("behind wrong ones: %d", v)
	}
	two.Add("Authorization", `Digest realm="r",username="x"`)
	old(g, two, "SHA-256", now)
	if v := g.Judge(two, us, now); v != Refused {
		t.Errorf("behind too many: %d", v)
	}
}

func TestCredentialsAreReadAsTheyAreWritten(t *testing.T) {
	for _, x := range []struct{ in, want string }{
		{`Digest realm="a", nonce="b"`, `Digest[realm=a nonce=b]`},
		{"Digest\trealm = \"a\" ,, nonce=b", `Digest[realm=a nonce=b]`},
		{`digest REALM="",stale=FALSE`, `digest[realm= stale=FALSE]`},
		{`Digest realm="a\\\"b"`, `Digest[realm=a\"b]`},
		{`Digest realm="x, nonce=y"`, `Digest[realm=x, nonce=y]`},
		{`Digest realm="a",nonce="b", Digest realm="c", Negotiate`, `Digest[realm=a nonce=b]Digest[realm=c]Negotiate[]`},
		{`Digest nonce=a/b:c`, `Digest[nonce=a/b:c]`},
		{``, ``},
		{`realm="a"`, `error`},
		{`Digest realm="a`, `error`},
		{`Digest realm="a\`, `error`},
		{`Digest realm="a"b`, `error`},
		{`Digest realm=`, `error`},
		{`Digest realm=a=b`, `error`},
		{`Digest="a"`, `error`},
		{"Digest realm=\"a\x00\"", `error`},
		{`Digest a=1,A=2`, `error`},
		{`Digest (`, `error`},
		{"Digest " + strings.Repeat("x", 20) + `="` + strings.Repeat("y", 60000) + `"`, `Digest[` + strings.Repeat("x", 20) + "=" + strings.Repeat("y", 60000) + `]`},
	} {
		list, err := parseCredentials(x.in)
		got := ""
		for _, c := range list {
			var params []string
			for _, p := range c.params {
				params = append(params, p.name+"="+p.value)
			}
			got += c.scheme + "[" + strings.Join(params, " ") + "]"
		}
		if err != nil {
			got = "error"
		}
		if got != x.want {
			t.Errorf("%.60q: got %.80s, want %.80s", x.in, got, x.want)
		}
	}
	many := "Digest "
	for i := range maxParameters + 1 {
		many += fmt.Sprintf("p%d=1,", i)
	}
	if _, err := parseCredentials(many); err == nil {
		t.Error("any number of parameters is read")
	}
}

// FuzzDigest: whatever a far side writes as a challenge is answered, if at
// all, with a header that can be read back and that its own gate would take
// for right; whatever it writes as a proof never passes.
func FuzzDigest(f *testing.F) {
	f.Add(`Digest realm="a \"b\"", nonce="n", qop="auth,auth-int", algorithm=SHA-256, stale=true, opaque=""`)
	f.Add(`Digest realm="r",nonce="n", Digest realm="r",nonce="m",algorithm=SHA-512-256-sess,qop=auth-int`)
	f.Add(`Basic realm="x", Digest realm=r,nonce=n,domain="sip:carrier.example sip:["`)
	f.Add(`Digest realm="r",username="trunk",nonce="",uri="sip:+441134960000@x",qop=auth,nc=00000001,cnonce="",response="",algorithm=MD5`)
	f.Add(`nextnonce="x",cnonce=""`)
	gate := NewGate("r", "SHA-256", "MD5")
	now := time.Unix(1e9, 0)
	f.Fuzz(func(t *testing.T, line string) {
		p := proverOf(us)
		resp := challenged(407, "Proxy-Authenticate: "+line, "WWW-Authenticate: "+line)
		req := invite(1)
		learned := p.Learn(req, resp, 0)
		p.Heard(challenged(200, "Authentication-Info: "+line))
		p.Sign(req)
		wire, err := sip.Parse(req.Append(nil), sip.Limits{})
		if err != nil {
			t.Fatalf("what we wrote cannot be read: %v\n%s", err, req)
		}
		n := 0
		for _, header := range []string{"Authorization", "Proxy-Authorization"} {
			for line := range wire.Values(header) {
				list, err := parseCredentials(line)
				if err != nil || len(list) != 1 || !right(list[0], wire, us) {
					t.Errorf("our own proof is wrong: %v\n%s", err, line)
				}
				n++
			}
		}
		if learned != nil && n > 0 {
			t.Errorf("%v, and yet there is a proof", learned)
		}
		forged := invite(1)
		forged.Add("Authorization", line)
		if v := gate.Judge(forged, us, now); v == Proven || v == Stale {
			t.Errorf("%q passes", line)
		}
	})
}
