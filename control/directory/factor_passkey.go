package directory

import (
	"context"
	"encoding/json"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// bearer is a person as the library wants it.
type bearer struct {
	User
	factors []Factor
}

func (b bearer) WebAuthnID() []byte          { return []byte(b.ID) }
func (b bearer) WebAuthnName() string        { return b.Name }
func (b bearer) WebAuthnDisplayName() string { return b.DisplayName }

func (b bearer) WebAuthnCredentials() (list []webauthn.Credential) {
	for _, f := range b.factors {
		if c, ok := f.credential(); ok {
			list = append(list, c)
		}
	}
	return list
}

func (f Factor) credential() (c webauthn.Credential, ok bool) {
	return c, f.Kind == Passkey && json.Unmarshal(f.content, &c) == nil
}

// Passkeys tells whether there can be any: not where people come to an address
// instead of a name.
func (s *Set) Passkeys() bool { return s.passkeys != nil }

var errNoPasskeys = fault.New(fault.Invalid, "There are no passkeys here: this deployment is reached by an address instead of a name.")

// ProposePasskey is what the browser's authenticator is asked to make (JSON of
// CredentialCreationOptions).
func (s *Set) ProposePasskey(ctx context.Context, token string) ([]byte, error) {
	if s.passkeys == nil {
		return nil, errNoPasskeys
	}
	v, list, err := s.adding(ctx, token)
	if err != nil {
		return nil, err
	}
	b := bearer{v.User, list}
	var known []protocol.CredentialDescriptor
	for _, c := range b.WebAuthnCredentials() {
		known = append(known, c.Descriptor())
	}
	options, asked, err := s.passkeys.BeginRegistration(b, webauthn.WithExclusions(known),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationPreferred}))
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	p := v.proposal() // a seed that is on the same page stays
	p.Passkey, p.Adds = asked, true
	return text, s.propose(ctx, v, p)
}

// AddPasskey keeps what the authenticator has made.
func (s *Set) AddPasskey(ctx context.Context, token, name string, response []byte, from Visitor) (Opened, error) {
	v, list, err := s.adding(ctx, token)
	if err != nil {
		return Opened{}, err
	}
	p := v.proposal()
	if s.passkeys == nil || p.Passkey == nil || !p.Adds {
		return Opened{}, ErrFactor
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Opened{}, ErrFactor
	}
	made, err := s.passkeys.CreateCredential(bearer{v.User, list}, *p.Passkey, parsed)
	if err != nil {
		s.log.Warn("a passkey is refused", "user", v.User.Name, "from", from.Source, "cause", err.Error())
		return Opened{}, ErrFactor
	}
	content, err := json.Marshal(made)
	if err != nil {
		return Opened{}, err
	}
	return s.add(ctx, v, Factor{Kind: Passkey, Name: name, content: content, counter: int64(made.Authenticator.SignCount)}, from)
}

// AskPasskey is what the browser's authenticator is asked to sign (JSON of
// CredentialRequestOptions).
func (s *Set) AskPasskey(ctx context.Context, token string) ([]byte, error) {
	if s.passkeys == nil {
		return nil, errNoPasskeys
	}
	v, err := s.Session(ctx, token)
	if err != nil {
		return nil, err
	}
	list, err := s.Factors(ctx, v.User.ID)
	if err != nil {
		return nil, err
	}
	options, asked, err := s.passkeys.BeginLogin(bearer{v.User, list}, webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	return text, s.propose(ctx, v, proposal{Passkey: asked})
}

// ShowPasskey makes a session whole. A signature is taken once: its challenge
// goes with the session's name.
func (s *Set) ShowPasskey(ctx context.Context, token string, response []byte, from Visitor) (opened Opened, err error) {
	v, err := s.Session(ctx, token)
	if err != nil {
		return Opened{}, err
	}
	defer func() { s.refuse(err, v.Caller(), from, "wrong second factor") }()
	p := v.proposal()
	list, err := s.Factors(ctx, v.User.ID)
	if err != nil {
		return Opened{}, err
	}
	if s.passkeys == nil || p.Passkey == nil || p.Adds {
		return Opened{}, ErrFactor
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Opened{}, ErrFactor
	}
	shown, err := s.passkeys.ValidateLogin(bearer{v.User, list}, *p.Passkey, parsed)
	if err != nil || shown.Authenticator.CloneWarning {
		s.log.Warn("sign-in refused", "cause", "wrong second factor", "user", v.User.Name, "from", from.Source)
		return Opened{}, ErrFactor
	}
	content, err := json.Marshal(shown)
	if err != nil {
		return Opened{}, err
	}
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		for _, f := range list {
			if c, ok := f.credential(); !ok || string(c.ID) != string(shown.ID) {
				continue
			}
			if _, err := tx.Exec(ctx, "UPDATE factor SET content = ?, counter = ?, used = ? WHERE id = ?", content, int64(shown.Authenticator.SignCount), store.Micros(now()), f.ID); err != nil {
				return err
			}
		}
		opened, err = s.complete(ctx, tx, v, Passkey, from)
		return err
	})
	return opened, err
}
