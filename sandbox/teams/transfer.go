package teams

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// referral is a REFER whose INVITE is to come back to us.
type referral struct {
	*phone.Transfer

	uri, by string          // of the INVITE, to the byte
	caller  string          // the user part of its From
	behave  phone.Behaviour // how it is taken
}

// TransferToUser refers the far side of c to another user, one of whom Answer
// told; the blind transfer of Teams. The user's telephone rings.
func (s *System) TransferToUser(ctx context.Context, c *phone.Call, user string) (*phone.Transfer, error) {
	does, ok := s.Behaviour(user)
	if !ok {
		return nil, fmt.Errorf("no user %s", user)
	}
	return s.refer(ctx, c, s.toUser(c, user), "", does)
}

// transfer is the blind transfer to whoever has a number.
func (s *System) transfer(ctx context.Context, c *phone.Call, number string) (*phone.Transfer, error) {
	if _, ok := s.Behaviour(number); ok {
		return s.TransferToUser(ctx, c, number)
	}
	return s.TransferToNumber(ctx, c, number)
}

// TransferToNumber refers the far side of c to a number outside. The INVITE is
// to come here, and the number is called by another INVITE from here; both are
// joined.
func (s *System) TransferToNumber(ctx context.Context, c *phone.Call, number string) (*phone.Transfer, error) {
	to := "sip:" + number + "@" + s.proxyHost() + ";user=phone;transport=tls"
	return s.refer(ctx, c, to, "", phone.Behaviour{Forward: number})
}

// TransferTo refers the far side of c to the far side of consultation, a call
// of the same user; what INVITE comes replaces that user, and both are joined.
func (s *System) TransferTo(ctx context.Context, c, consultation *phone.Call) (*phone.Transfer, error) {
	if !consultation.Established() {
		return nil, errors.New("the consultation is not up")
	}
	does := phone.Behaviour{NoRinging: true, Taken: func(new *phone.Call) { phone.Join(new, consultation) }}
	return s.refer(ctx, c, s.toUser(c, consultation.Number()), replacement(consultation), does)
}

// Park is hold with music: the far side of c is referred to a bot that plays it.
// Unpark brings the user back.
func (s *System) Park(ctx context.Context, c *phone.Call, music []int16) (*phone.Transfer, error) {
	to := "sip:" + s.proxyHost() + ";transport=tls;x-m=28:" + guid("bot "+c.Tag())
	return s.refer(ctx, c, to, "", phone.Behaviour{NoRinging: true, Send: music})
}

// Unpark ends hold with music by an INVITE that replaces the bot's call.
func (s *System) Unpark(ctx context.Context, parked *phone.Transfer) (*phone.Call, error) {
	bot := parked.Call()
	if bot == nil {
		return nil, errors.New("the bot has no call")
	}
	return s.Replace(ctx, bot, phone.CallSpec{From: parked.Old().Number(), To: bot.Brief().From})
}

// Music is what a bot plays.
func Music() []int16 { return audio.Tones(0x28, 8*audio.MaxDelay) }

func (s *System) proxyHost() string {
	return "sip." + s.cfg.Domain + ":" + strconv.Itoa(int(s.Gates()[0].Addr().Port()))
}

func (s *System) toUser(c *phone.Call, user string) string {
	return "sip:" + s.proxyHost() + ";transport=tls;x-m=8:orgid:" + guid(user) + ";x-t=" + s.tenantOf(c)
}

// tenantOf is the tenant of the trunk a call uses.
func (s *System) tenantOf(c *phone.Call) string {
	host := c.Brief().Peer
	if id := s.tenant(host); id != "" {
		return id
	}
	return guid(host)
}

// replacement is the URI of a call to be replaced as Teams hides it in a
// parameter: base64, whose letters have a case and whose signs are escaped.
func replacement(c *phone.Call) string {
	where := "https://api-du.example/v1/ngc/cb?dci=1&call=" + c.Tag() + "~??>"
	return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(where)))
}

// refer sends the REFER and waits for the INVITE that it asks for.
func (s *System) refer(ctx context.Context, c *phone.Call, uri, replaces string, does phone.Behaviour) (*phone.Transfer, error) {
	id := guid(sip.NewTag())
	by := "<sip:" + s.proxyHost() + ";x-m=8:orgid:" + guid(c.Number()) + ";x-t=" + s.tenantOf(c) + ";x-ti=" + id
	if replaces != "" {
		by += ";x-tt=" + replaces
	}
	f := c.Brief()
	r := &referral{uri: uri, by: by + ">", caller: f.From, behave: does}
	if f.Outbound {
		r.caller = f.To
	}
	came := does.Came
	r.behave.Came = func(new *phone.Call) {
		r.Came(new)
		if came != nil {
			came(new)
		}
	}
	var err error
	s.mu.Lock() // the INVITE must not be looked for before it is expected
	defer s.mu.Unlock()
	if r.Transfer, err = c.Refer(ctx, phone.Referral{To: "<" + uri + ">", By: r.by, Patience: s.cfg.Patience, Strict: true}); err != nil {
		return nil, err
	}
	s.referrals = append(slices.DeleteFunc(s.referrals, func(r *referral) bool { return over(r.Transfer) }), r)
	return r.Transfer, nil
}

func over(t *phone.Transfer) bool {
	select {
	case <-t.Done():
		return true
	default:
		return false
	}
}

// behave takes the INVITE of a transfer.
func (s *System) behave(invite *sip.Message) (phone.Behaviour, bool) {
	if r := s.referred(invite); r != nil {
		return r.behave, true
	}
	return phone.Behaviour{}, false
}

// referred finds the REFER that an INVITE obeys.
func (s *System) referred(invite *sip.Message) *referral {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.referrals {
		if !over(r.Transfer) && invite.RequestURI == r.uri && invite.Get("Referred-By") == r.by {
			return r
		}
	}
	return nil
}

// obeyed judges an INVITE that may be one of those we asked for: it comes with
// Refer-To and Referred-By as we wrote them, to the byte.
func (s *System) obeyed(req *sip.Message) []broken {
	if req.Method != "INVITE" || inDialog(req) {
		return nil
	}
	if r := s.referred(req); r != nil {
		if from, err := req.From(); err == nil && from.URI.User != r.caller {
			return []broken{{"refer-from", "From is " + from.URI.User + ", the party that was referred is " + r.caller, nil}}
		}
		return nil
	}
	wrong := &phone.Refusal{Status: 403, Reason: quoted(21, "510403;The transfer is not known")}
	for _, r := range s.open() {
		rule, said, want := "", "", ""
		switch {
		case req.Get("Referred-By") == r.by:
			rule, said, want = "refer-uri", req.RequestURI, r.uri
		case req.RequestURI == r.uri, sameTarget(req, r):
			rule, said, want = "referred-by", req.Get("Referred-By"), r.by
		default:
			continue
		}
		message := fmt.Sprintf("%q where %q was to be copied as it was", said, want)
		r.Fail(rule, "%s", message)
		return []broken{{rule, message, wrong}}
	}
	uri, err := sip.ParseURI(req.RequestURI)
	if err != nil {
		return nil
	}
	if _, mri := uri.Params.Get("x-m"); mri {
		return []broken{{"refer-stray", "an INVITE by a REFER that nobody sent, or that is over", wrong}}
	}
	return nil
}

// sameTarget reports whether an INVITE goes where r asked for, in other words.
func sameTarget(req *sip.Message, r *referral) bool {
	said, err := sip.ParseURI(req.RequestURI)
	want, _ := sip.ParseURI(r.uri)
	if err != nil {
		return false
	}
	a, _ := said.Params.Get("x-m")
	b, _ := want.Params.Get("x-m")
	return a != "" && strings.EqualFold(a, b) || said.User != "" && said.User == want.User
}

func (s *System) open() []*referral {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.referrals), func(r *referral) bool { return over(r.Transfer) })
}

// Replace places a call that takes the place of another one, early or confirmed,
// as call queues do when somebody picks up (RFC 3891). The old call is to end by
// the far side.
func (s *System) Replace(ctx context.Context, old *phone.Call, spec phone.CallSpec) (*phone.Call, error) {
	id, theirs, ours, err := old.Peers(ctx)
	if err != nil {
		return nil, fmt.Errorf("replace a call: %w", err)
	}
	s.reach(old, &spec)
	spec.Headers = append(spec.Headers,
		phone.Header{Name: "Require", Value: "replaces"},
		phone.Header{Name: "Replaces", Value: id + ";from-tag=" + ours + ";to-tag=" + theirs},
	)
	c, err := s.dial(spec, func(c *phone.Call, p phone.Progress) {
		switch p {
		case phone.Answers:
			s.Go(func(ctx context.Context) { s.replaced(ctx, c, old) })
		case phone.Finishes:
			if f := c.Brief(); f.Status == 420 || f.Status == 481 {
				s.Violate("replaced", f.ID, "INVITE with Replaces of a call that is up was refused with %d", f.Status)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("replace a call: %w", err)
	}
	return c, nil
}

// reach sends a call where the old one came from.
func (s *System) reach(old *phone.Call, spec *phone.CallSpec) {
	peer := old.Brief().Peer
	if s.trunks[peer] != nil {
		spec.Region = peer
		return
	}
	label, parent, _ := strings.Cut(peer, ".")
	if s.trunks[parent] != nil {
		spec.Trunk, spec.Region = label, parent
	}
}

// replaced waits for the far side to end the call that another one has replaced.
func (s *System) replaced(ctx context.Context, c, old *phone.Call) {
	patience, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	select {
	case <-old.Done():
	case <-c.Done():
	case <-patience.Done():
		if ctx.Err() == nil {
			s.Violate("replaces-left", c.Brief().ID, "a call that was replaced is still up after %v (RFC 3891 section 3)", s.cfg.Patience)
			old.HangUp()
		}
	}
}
