package directory_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// FuzzRedirect: what is taken can be read in one way only, and is where it says.
func FuzzRedirect(f *testing.F) {
	for _, s := range []string{"https://x.example/back", "http://localhost:1/", "com.example.app:/back", "https://user@x.example", "https://x.example\\@y", "https://x.example/%2e%2e/", "javascript:x", "https://[::1]/", "HTTPS://x"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, public bool) {
		if err := directory.CheckRedirect(s, public); err != nil {
			if fault.Of(err) != fault.Invalid {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Fragment != "" || u.User != nil || strings.ContainsAny(s, "\\*# \n\r\t\x00") {
			t.Fatalf("%q is taken: %v", s, err)
		}
		if u.Scheme == "http" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" {
			t.Errorf("%q is taken without TLS", s)
		}
		if !public && u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q is taken for the web", s)
		}
	})
}

// FuzzNames: what is taken as the name of a user or a domain is found under it,
// and whatever is refused is refused in words.
func FuzzNames(f *testing.F) {
	w := build(f, storetest.New(f))
	for _, s := range []string{"ann", "voice.example.net", "../x", "a@b", "' OR 1=1", "api://x", "urn:x", "MS=ms1", "\u202e", "x\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ctx := t.Context()
		if u, err := w.CreateUser(ctx, w.us, directory.User{Name: s + "@telecom.example", DisplayName: s}); err == nil {
			got, err := w.User(ctx, w.plain, strings.ToUpper(u.Name))
			if err != nil || got.ID != u.ID || got.DisplayName != s {
				t.Errorf("%q: %+v, %v", s, got, err)
			}
			if err := w.DeleteUser(ctx, w.us, u.ID); err != nil {
				t.Error(err)
			}
		} else if fault.Of(err) != fault.Invalid {
			t.Errorf("user %q: %v", s, err)
		}
		if d, err := w.AddDomain(ctx, w.us, s); err == nil {
			if strings.ToLower(d.Name) != d.Name || strings.ContainsAny(d.Name, "/\\@ %?#\x00") {
				t.Errorf("%q is a domain", d.Name)
			}
			if err := w.RemoveDomain(ctx, w.us, s); err != nil {
				t.Error(err)
			}
		} else if k := fault.Of(err); k != fault.Invalid && k != fault.Conflict {
			t.Errorf("domain %q: %v", s, err)
		}
		if a, err := w.CreateApplication(ctx, w.us, directory.Application{DisplayName: "X", URIs: []string{s}, Roles: []directory.AppRole{{Value: s, For: []string{"User"}}}}); err == nil {
			if _, err := w.AddPrincipal(ctx, w.us, a.AppID, s); err == nil {
				if p, err := w.Resource(ctx, tenant, s); err != nil || p.AppID != a.AppID {
					t.Errorf("%q: %+v, %v", s, p, err)
				}
			}
			if err := w.DeleteApplication(ctx, w.us, a.ID); err != nil {
				t.Error(err)
			}
		}
		for _, err := range []error{
			w.DeleteGroup(ctx, w.us, s), w.Unassign(ctx, w.us, s), w.Revoke(ctx, w.us, s), w.AssignDirectoryRole(ctx, w.us, directory.GlobalReader, s), w.AddMember(ctx, w.us, s, s),
		} {
			if fault.Of(err) != fault.NotFound {
				t.Errorf("%q: %v", s, err)
			}
		}
		if _, _, err := w.FindTenant(ctx, s); err != nil {
			t.Errorf("tenant %q: %v", s, err)
		}
		if _, err := w.Resource(ctx, tenant, s); err != nil && fault.Of(err) != fault.NotFound {
			t.Errorf("resource %q: %v", s, err)
		}
	})
}

// FuzzTokens: nothing that we have not signed is believed, in any form.
func FuzzTokens(f *testing.F) {
	w := build(f, storetest.New(f))
	a, p, _ := w.program("Robot")
	if _, err := w.AddFederated(f.Context(), w.us, a.ID, directory.FederatedCredential{Name: "x", Issuer: issuer, Subject: p.ID}); err != nil {
		f.Fatal(err)
	}
	good, err := w.IssueFor(f.Context(), p.ID, issuer, graph)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "x.y.z", "eyJhbGciOiJub25lIn0.e30.", string(good.Raw) + "x", string(good.Raw[:len(good.Raw)-2])} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		signed := good.Raw[:strings.LastIndexByte(string(good.Raw), '.')]
		if strings.HasPrefix(raw, string(signed)+".") {
			return // the last bits of base64 can be written in several ways
		}
		if c, err := w.Verify(t.Context(), raw, []string{issuer}, []string{graph}); !errors.Is(err, directory.ErrToken) {
			t.Errorf("%q: %+v, %v", raw, c, err)
		}
		if got, err := w.AuthenticateAssertion(t.Context(), a.AppID, raw, []string{issuer}); !errors.Is(err, directory.ErrSecret) {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	})
}

// FuzzAuthenticate: no secret but the right one, whatever it looks like.
func FuzzAuthenticate(f *testing.F) {
	w := build(f, storetest.New(f))
	a, _, _ := w.program("Robot")
	_, value, err := w.AddSecret(f.Context(), w.us, a.ID, "", a.Created.AddDate(1, 0, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(app, "x")
	f.Add(a.AppID, string(value[:3]))
	f.Add(a.AppID, string(value)+"\x00")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, s string) {
		if s == string(value) || s == secret {
			return
		}
		if p, err := w.Authenticate(t.Context(), id, s); !errors.Is(err, directory.ErrSecret) && !errors.Is(err, directory.ErrUnknown) {
			t.Errorf("%q: %+v, %v", s, p, err)
		}
	})
}
