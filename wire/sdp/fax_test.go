package sdp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const faxOffer = `v=0
o=gw 77 2 IN IP4 10.99.99.99
s=-
c=IN IP4 10.99.99.99
t=0 0
m=image 49150 udptl t38
b=AS:46
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxFillBitRemoval
a=T38FaxRateManagement:transferredTCF
a=T38FaxMaxBuffer:1800
a=T38FaxMaxDatagram:400
a=T38FaxUdpEc:t38UDPRedundancy
a=T38VendorInfo:0 0 37
a=X-gateway:10.99.99.98
a=T38ModemType:10.99.99.98
`

func faxEnd() End {
	e := core()
	e.Fax = netip.MustParseAddrPort("192.0.2.20:40010")
	return e
}

// ITU-T T.38 Annex D: what a side can take is told to the other one, under an
// address of ours, and nothing else of it.
func TestT38Crosses(t *testing.T) {
	offer := must(Offer(parse(t, faxOffer), faxEnd()))
	check(t, `
v=0
o=- 7002 1 IN IP4 192.0.2.20
s=-
c=IN IP4 192.0.2.20
t=0 0
m=image 40010 udptl t38
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxFillBitRemoval
a=T38FaxRateManagement:transferredTCF
a=T38FaxMaxBuffer:1800
a=T38FaxMaxDatagram:400
a=T38FaxUdpEc:t38UDPRedundancy
`, offer)
	answer := parse(t, strings.NewReplacer("49150", "5004", "10.99.99.99", "10.88.88.88", ":400", ":200").Replace(faxOffer))
	far := must(Agree(offer, answer))
	ours := must(Answer(parse(t, faxOffer), answer, faxEnd()))
	if out := text(ours); !strings.Contains(out, "m=image 40010 udptl t38\n") || !strings.Contains(out, "T38FaxMaxDatagram:200\n") {
		t.Error(out)
	}
	near := must(Agree(ours, parse(t, faxOffer)))
	n := must(Bridge(near, far))
	if n.Near.Fax.String() != "10.99.99.99:49150" || n.Far.Fax.String() != "10.88.88.88:5004" {
		t.Errorf("%v %v", n.Near.Fax, n.Far.Fax)
	}
	if n.Near.Direction != Inactive || n.Transcode != nil || n.NearToFar[8] != 0xff {
		t.Errorf("%+v", n)
	}
}

// A fax begins as a call: the section of audio becomes one of image, or goes
// to port 0 beside one (RFC 3264 8.3.3), and comes back.
func TestFromAudioToT38AndBack(t *testing.T) {
	audio := "v=0\no=gw 77 1 IN IP4 10.99.99.99\ns=-\nc=IN IP4 10.99.99.99\nt=0 0\nm=audio 6000 RTP/AVP 8\n"
	image := "m=image 7000 udptl t38\na=T38FaxVersion:0\n"
	e := faxEnd()
	e.Sent = must(Offer(parse(t, audio), e))
	for name, tc := range map[string]struct{ offer, want string }{
		"in its place": {strings.Replace(audio, "m=audio 6000 RTP/AVP 8\n", image, 1), "m=image 40010 udptl t38\na=T38FaxVersion:0\n"},
		"behind it":    {strings.Replace(audio, "6000", "0", 1) + image, "m=audio 0 RTP/AVP 8\nm=image 40010 udptl t38\na=T38FaxVersion:0\n"},
		"before it":    {strings.Replace(audio, "m=audio 6000 RTP/AVP 8\n", image+"m=audio 0 RTP/AVP 8\n", 1), "m=image 40010 udptl t38\na=T38FaxVersion:0\nm=audio 0 RTP/AVP 8\n"},
	} {
		t.Run(name, func(t *testing.T) {
			e := e
			e.Sent = must(Offer(parse(t, tc.offer), e))
			if out := text(e.Sent); !strings.HasSuffix(out, tc.want) || e.Sent.Origin.Version != "2" {
				t.Errorf("%s\nwant %s", out, tc.want)
			}
			back := must(Offer(parse(t, audio), e))
			if m := back.Carried(); m == nil || back.Fax() != nil || len(back.Media) < len(e.Sent.Media) || back.Origin.Version != "3" {
				t.Error(text(back))
			}
		})
	}
}

// Audio and image may live at once; who answers takes either, or both.
func TestAudioBesideT38(t *testing.T) {
	offer := parse(t, "v=0\no=gw 77 1 IN IP4 10.99.99.99\ns=-\nc=IN IP4 10.99.99.99\nt=0 0\nm=audio 6000 RTP/AVP 8\nm=image 7000 udptl t38\n")
	ours := must(Offer(offer, faxEnd()))
	if ours.Carried() == nil || ours.Fax() == nil {
		t.Fatal(text(ours))
	}
	for ports, want := range map[[2]string]string{
		{"6100", "7100"}: "both", {"0", "7100"}: "fax", {"6100", "0"}: "voice",
	} {
		answer := parse(t, "v=0\no=b 1 1 IN IP4 10.88.88.88\ns=-\nc=IN IP4 10.88.88.88\nt=0 0\nm=audio "+ports[0]+" RTP/AVP 8\nm=image "+ports[1]+" udptl t38\n")
		far := must(Agree(ours, answer))
		back := must(Answer(offer, answer, faxEnd()))
		near := must(Agree(back, offer))
		if _, err := Bridge(near, far); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		voice, fax := len(near.Codecs) > 0 && len(far.Codecs) > 0, near.Fax.IsValid() && far.Fax.IsValid()
		if voice != (want != "fax") || fax != (want != "voice") || (back.Carried() != nil) != voice || (back.Fax() != nil) != fax {
			t.Errorf("%s: voice %v, fax %v\n%s", want, voice, fax, text(back))
		}
	}
}

func TestRefusalsOfT38(t *testing.T) {
	alone := parse(t, faxOffer)
	ours := must(Offer(alone, faxEnd()))
	for name, tc := range map[string]struct {
		err  error
		want error
	}{
		"to a leg that cannot carry it": {second(Offer(alone, cloud())), ErrNoAudio},
		"over DTLS, or TCP":             {second(Offer(parse(t, strings.Replace(faxOffer, "udptl", "UDP/TLS/UDPTL", 1)), faxEnd())), ErrNoAudio},
		"answered with port 0":          {second(Agree(ours, parse(t, strings.Replace(faxOffer, "49150", "0", 1)))), ErrNoAudio},
		"answered with audio":           {second(Agree(ours, parse(t, coreOffer))), ErrNoAudio},
		"at no address":                 {second(Agree(ours, parse(t, strings.Replace(faxOffer, "c=IN IP4 10.99.99.99", "c=IN IP4 0.0.0.0", 1)))), ErrNoAddress},
		"at many":                       {second(Agree(ours, parse(t, strings.Replace(faxOffer, "c=IN IP4 10.99.99.99", "c=IN IP4 224.1.1.1", 1)))), ErrNoAddress},
		"one side alone":                {second(Bridge(must(Agree(ours, alone)), must(Agree(must(Offer(parse(t, coreOffer), core())), parse(t, coreOffer))))), ErrNoCodec},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v", name, tc.err)
		}
	}
}

// FuzzFax takes any two descriptions through a round: what we write can be read
// again, has as many sections, and tells no address of the other side.
func FuzzFax(f *testing.F) {
	f.Add(crlf(faxOffer), crlf(faxOffer))
	f.Add(crlf(coreOffer), crlf(faxOffer))
	f.Add(crlf("v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 8\nm=image 7000 UDPTL T38\na=T38FaxVersion:3\n"), crlf(faxOffer))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, err := Parse(first)
		if err != nil {
			return
		}
		b, err := Parse(second)
		if err != nil {
			return
		}
		for _, write := range []func() (*Session, error){
			func() (*Session, error) { return Offer(a, faxEnd()) },
			func() (*Session, error) { return Answer(a, b, faxEnd()) },
		} {
			out, err := write()
			if err != nil {
				continue
			}
			again, err := Parse(out.Bytes())
			if err != nil || len(again.Media) != len(a.Media) {
				t.Fatalf("%v\n%s", err, text(out))
			}
			if m := again.Fax(); m != nil && (m.Conn.Host != "192.0.2.20" || m.Port != 40010) {
				t.Fatal(text(out))
			}
			side, err := Agree(out, b)
			if err != nil {
				continue
			}
			if n, err := Bridge(side, side); err == nil && len(n.Near.Codecs) == 0 && !n.Near.Fax.IsValid() {
				t.Fatalf("nothing is agreed: %+v", n)
			}
		}
	})
}
