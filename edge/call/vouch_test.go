package call

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/edge/attest"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/stir"
)

// shelf is where the one certificate of a test is.
type shelf struct {
	key     *ecdsa.PrivateKey
	roots   *x509.CertPool
	pem     []byte
	silence bool
}

const certificateAt = "https://cert.example/shaken.pem"

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{roots: x509.NewCertPool()}
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "SHAKEN 1234"}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(100 * 365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &s.key.PublicKey, s.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s.roots.AddCert(made)
	s.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return s
}

func (s *shelf) RoundTrip(req *http.Request) (*http.Response, error) {
	if s.silence {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(s.pem))), Request: req}, nil
}

// vouching makes calls of both sides verified, and callers to the core vouched
// for.
func (s *shelf) vouching(w *world, change func(*Vouching)) {
	set, err := attest.New(attest.Config{
		Key: s.key, Info: certificateAt, OrigID: "123e4567-e89b-12d3-a456-426655440000", Roots: s.roots, Transport: s,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(set.Close)
	w.cfg.Vouching = Vouching{Set: set, Verify: []snapshot.Side{snapshot.Operator, snapshot.Cloud}, Sign: []snapshot.Side{snapshot.Operator}}
	if change != nil {
		change(&w.cfg.Vouching)
	}
}

func (s *shelf) identity(t *testing.T, orig, dest string) string {
	t.Helper()
	v, err := stir.Sign(stir.Claims{Kind: stir.Shaken, Orig: orig, Dest: []string{dest}, Issued: time.Now(), Attest: stir.Full, OrigID: "x"}, certificateAt, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return "Identity: " + v
}

const teamsFrom = "From: <sip:+14255550123@10.2.0.1;user=phone>;tag=ft"

// Nobody is vouched for with the number of somebody else's, screened or not
// (RFC 8588 section 4; ATIS-1000074 5.2.3).
func TestANumberIsVouchedForToItsOwnAccount(t *testing.T) {
	numbers, err := snapshot.NewNumbers(
		snapshot.Number{E164: "+441134960001", Service: snapshot.TeamsDirectRouting, Account: "contoso"},
		snapshot.Number{E164: "+441134960002", Service: snapshot.OperatorConnect, Account: "contoso"},
		snapshot.Number{E164: "+441134960003", Service: snapshot.TeamsDirectRouting, Account: "fabrikam"},
		snapshot.Number{E164: "+441134960004", Service: snapshot.OperatorConnect},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		who     string
		service snapshot.Service
		account string
		want    stir.Attestation
	}{
		{"+441134960001", snapshot.TeamsDirectRouting, "contoso", stir.Full},
		{"+441134960002", snapshot.TeamsDirectRouting, "contoso", stir.Full},
		{"+441134960003", snapshot.TeamsDirectRouting, "contoso", stir.Partial},
		{"+441134960004", snapshot.TeamsDirectRouting, "contoso", stir.Partial},
		{"+12025550199", snapshot.TeamsDirectRouting, "contoso", stir.Partial},
		{"+441134960004", snapshot.OperatorConnect, "", stir.Full},
		{"+441134960004", snapshot.TeamsPhoneMobile, "", stir.Partial},
		{"+441134960001", snapshot.OperatorConnect, "", stir.Partial},
	} {
		s := state{legs: [2]leg{{peer: &peer.Known{}}, {peer: &peer.Known{}}}, snapshot: &snapshot.Snapshot{Numbers: numbers}, record: record.Call{Service: string(x.service), Account: x.account}}
		s.caller().peer.Group.Side = snapshot.Cloud
		if got := s.attestation(x.who); got != x.want {
			t.Errorf("%s calling from %s of %q: %v", x.who, x.service, x.account, got)
		}
	}
}

// A number that is provisioned is vouched for fully, another one of an
// enterprise partly (RFC 8588 section 4).
func TestCallersAreVouchedForToTheCore(t *testing.T) {
	shelf := newShelf(t)
	for name, c := range map[string]struct {
		numbers []snapshot.Number
		headers []string
		want    stir.Attestation
		div     bool
	}{
		"a number of ours": {[]snapshot.Number{{E164: "+14255550123", Service: snapshot.OperatorConnect}}, nil, stir.Full, false},
		"another's":        {nil, nil, stir.Partial, false},
		"a forwarded call": {nil, []string{"History-Info: <sip:+14255550188@sip.pstnhub.microsoft.com;user=phone?Reason=SIP%3Bcause%3D302>;index=1,<sip:+442079460123@sip.pstnhub.microsoft.com;user=phone>;index=1.1"}, stir.Gateway, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, func(w *world) {
				shelf.vouching(w, nil)
				numbers, err := snapshot.NewNumbers(c.numbers...)
				if err != nil {
					t.Fatal(err)
				}
				w.snap.Numbers = numbers
			}, func(w *world) {
				in := w.teams.invite("+442079460123", teamsOffer, append([]string{teamsFrom}, c.headers...)...)
				w.teams.expect("100")
				out := w.core.expect("INVITE")
				if !strings.Contains(out.Get("From")+out.Get("P-Asserted-Identity"), "verstat=No-TN-Validation") {
					t.Errorf("the core is not told that nobody vouched for the caller:\n%s", out)
				}
				var kinds []string
				for v := range out.Values("Identity") {
					i, err := stir.Parse(v)
					if err != nil {
						t.Fatal(err)
					}
					kinds = append(kinds, i.Kind)
					if i.Kind == stir.Shaken && (i.Orig != "14255550123" || i.Dest[0] != "442079460123" || i.Attest != c.want) {
						t.Errorf("%+v", i.Claims)
					}
					if i.Kind == stir.Div && i.Diverted != "14255550188" {
						t.Errorf("%+v", i.Claims)
					}
				}
				if want := map[bool]string{false: "shaken", true: "shaken div"}[c.div]; strings.Join(kinds, " ") != want || out.Get("Date") == "" {
					t.Errorf("the INVITE has %q:\n%s", kinds, out)
				}
				w.core.reply(out, 486, "c1", "")
				w.core.expect("ACK")
				w.teams.ackFailure(in, w.teams.expect("486"))
			})
		})
	}
}

func TestTheCallersIdentityIsVerified(t *testing.T) {
	shelf := newShelf(t)
	for name, c := range map[string]struct {
		change  func(*Vouching)
		dest    string // that is signed; "": there is no Identity
		silence bool
		status  string // of a refusal
		told    string // the record
	}{
		"believed":                      {nil, "+442079460123", false, "", "Identity is believed, attestation A"},
		"not believed":                  {nil, "+15550100", false, "", "Identity is not believed (438 Invalid Identity Header)"},
		"not believed, and refused":     {func(v *Vouching) { v.Refuse = true }, "+15550100", false, "438", "Identity is not believed (438"},
		"its certificate does not come": {func(v *Vouching) { v.Refuse = true }, "+442079460123", true, "436", "did not come in time"},
		"none":                          {func(v *Vouching) { v.Refuse = true }, "", false, "", "no Identity header"},
		"none, and one is required":     {func(v *Vouching) { v.Require = true }, "", false, "428", "no Identity header"},
	} {
		t.Run(name, func(t *testing.T) {
			shelf.silence = c.silence
			inWorldOf(t, func(w *world) { shelf.vouching(w, c.change) }, func(w *world) {
				headers := []string{"P-Asserted-Identity: <sip:+441632960001@10.1.0.1>"}
				if c.dest != "" {
					headers = append(headers, shelf.identity(t, "+441632960001", c.dest))
				}
				in := w.core.invite("+442079460123", coreSDP, headers...)
				w.core.expect("100")
				if c.status != "" {
					w.core.ackFailure(in, w.core.expect(c.status))
					w.teams.quiet()
				} else {
					out := w.teams.expect("INVITE")
					if out.Has("Identity") {
						t.Errorf("Teams is shown the Identity header:\n%s", out)
					}
					w.teams.reply(out, 486, "t1", "")
					w.teams.expect("ACK")
					w.core.ackFailure(in, w.core.expect("486"))
				}
				if r := w.records.last(t); !strings.Contains(r.Identity, c.told) {
					t.Errorf("the record says %q", r.Identity)
				}
			})
		})
	}
}

// What is believed goes on to a core that we trust, as it came.
func TestABelievedIdentityGoesOnToTheCore(t *testing.T) {
	shelf := newShelf(t)
	inWorldOf(t, func(w *world) { shelf.vouching(w, nil) }, func(w *world) {
		header := shelf.identity(t, "+14255550123", "+442079460123")
		in := w.teams.invite("+442079460123", teamsOffer, teamsFrom, header)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		if "Identity: "+out.Get("Identity") != header || !strings.Contains(out.Get("From")+out.Get("P-Asserted-Identity"), "verstat=TN-Validation-Passed") {
			t.Errorf("%s", out)
		}
		w.core.reply(out, 486, "c1", "")
		w.core.expect("ACK")
		w.teams.ackFailure(in, w.teams.expect("486"))
	})
}

// RFC 8946 section 5: who sends a call to another number vouches for that, by a
// token beside the caller's, which names who was called first.
func TestARedirectionIsVouchedForBesideTheCaller(t *testing.T) {
	shelf := newShelf(t)
	for name, c := range map[string]struct {
		change func(*Vouching)
		to     []string // redirections
		kinds  string
	}{
		"once":                 {nil, []string{"+442079460999"}, "shaken div"},
		"twice":                {nil, []string{"+442079460999", "+442079460888"}, "shaken div"},
		"to another host":      {nil, []string{"+442079460123"}, "shaken"},
		"by who does not sign": {func(v *Vouching) { v.Sign = nil }, []string{"+442079460999"}, "shaken"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, func(w *world) { shelf.vouching(w, c.change) }, func(w *world) {
				header := shelf.identity(t, "+14255550123", "+442079460123")
				in := w.teams.invite("+442079460123", teamsOffer, teamsFrom, header)
				w.teams.expect("100")
				f, other := w.core, w.core2
				for _, to := range c.to {
					w.reply302(f, to, other)
					f, other = other, f
				}
				out := f.expect("INVITE")
				var kinds []string
				for v := range out.Values("Identity") {
					i, err := stir.Parse(v)
					if err != nil {
						t.Fatal(err)
					}
					kinds = append(kinds, i.Kind)
					if i.Kind == stir.Shaken && "Identity: "+v != header {
						t.Errorf("the caller's token was changed:\n%s", out)
					}
					if i.Kind == stir.Div && (i.Orig != "14255550123" || i.Diverted != "442079460123" || i.Dest[0] != stir.Canonical(c.to[len(c.to)-1])) {
						t.Errorf("%+v", i.Claims)
					}
				}
				if got := strings.Join(kinds, " "); got != c.kinds {
					t.Errorf("it has %q", got)
				}
				f.reply(out, 486, "c9", "")
				f.expect("ACK")
				w.teams.ackFailure(in, w.teams.expect("486"))
			})
		})
	}
}

// reply302 has a core redirect the call that reaches it to a number at the other.
func (w *world) reply302(f *far, number string, at *far) {
	w.t.Helper()
	f.reply(f.expect("INVITE"), 302, "r", "", "Contact: <sip:"+number+"@"+at.at.Addr().String()+">")
	f.expect("ACK")
}

func TestAnEmergencyCallWaitsForNoCertificate(t *testing.T) {
	shelf := newShelf(t)
	shelf.silence = true
	inWorldOf(t, func(w *world) {
		shelf.vouching(w, func(v *Vouching) { v.Refuse, v.Require = true, true })
	}, func(w *world) {
		in := w.teams.invite("112", teamsOffer, teamsFrom)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 486, "c1", "")
		w.core.expect("ACK")
		w.teams.ackFailure(in, w.teams.expect("486"))
	})
}
