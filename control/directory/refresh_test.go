package directory_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// chain is a family of refresh tokens, as a program and a thief know them.
type chain struct {
	testing.TB
	*directory.Set
	client string
	known  []string // tokens that were told, each once, the oldest first
}

func newChain(t *testing.T, d *directory.Set, session string) *chain {
	t.Helper()
	c, err := d.Permit(t.Context(), session, directory.Asked{Client: directory.AzureCLIID, Public: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Redeem(t.Context(), directory.Shown{Client: directory.AzureCLIID, Code: string(c)})
	if err != nil {
		t.Fatal(err)
	}
	first, err := d.NewRefresh(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return &chain{t, d, directory.AzureCLIID, []string{string(first)}}
}

// show shows the token with a number, and gives the number of the one that
// comes back.
func (c *chain) show(i int) (int, error) {
	next, err := c.Refresh(c.Context(), c.client, c.known[i])
	if err != nil {
		if next != "" {
			c.Error("a token beside an error")
		}
		return -1, err
	}
	if j := slices.Index(c.known, string(next)); j >= 0 {
		return j, nil
	}
	c.known = append(c.known, string(next))
	return len(c.known) - 1, nil
}

// TestARefreshTokenThatComesAgain within half a minute is of a program whose
// answer was lost; any other is of a thief (RFC 9700 §4.14.2).
func TestARefreshTokenThatComesAgain(t *testing.T) {
	type step struct {
		after time.Duration
		shows int
		gets  int // -1: it ends the family
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"one after the other", []step{{0, 0, 1}, {0, 1, 2}, {time.Hour, 2, 3}}},
		{"an answer was lost", []step{{0, 0, 1}, {29 * time.Second, 0, 1}, {0, 1, 2}}},
		{"too late", []step{{0, 0, 1}, {31 * time.Second, 0, -1}}},
		{"a third time", []step{{0, 0, 1}, {0, 0, 1}, {0, 0, -1}}},
		{"after the next was used", []step{{0, 0, 1}, {0, 1, 2}, {0, 0, -1}}},
		{"after the next was told twice and used", []step{{0, 0, 1}, {0, 0, 1}, {0, 1, 2}, {0, 0, -1}}},
		// Who shows the second as well was told it beside somebody else.
		{"no grace after a grace", []step{{0, 0, 1}, {0, 0, 1}, {0, 1, 2}, {0, 1, -1}}},
		{"but later again", []step{{0, 0, 1}, {0, 0, 1}, {0, 1, 2}, {0, 2, 3}, {0, 2, 3}, {0, 3, 4}}},
		{"one that is far back", []step{{0, 0, 1}, {0, 1, 2}, {0, 2, 3}, {0, 1, -1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := storetest.New(t)
				defer s.Close()
				d := house(t, s)
				_, session, _ := resident(t, d, "ann")
				c := newChain(t, d, session)
				for i, st := range tt.steps {
					time.Sleep(st.after)
					if _, err := d.Refreshing(t.Context(), c.client, c.known[st.shows]); (err == nil) != (st.gets >= 0) {
						t.Errorf("step %d: looked at: %v", i, err)
					}
					got, err := c.show(st.shows)
					if got != st.gets {
						t.Fatalf("step %d: token %d, %v, want %d", i, got, err, st.gets)
					}
				}
				if tt.steps[len(tt.steps)-1].gets >= 0 {
					return
				}
				for i := range c.known {
					if _, err := c.show(i); !errors.Is(err, directory.ErrRevoked) {
						t.Errorf("token %d after that: %v", i, err)
					}
				}
			})
		})
	}
}

// TestRefreshTokensAgainstAModel: whatever tokens are shown whenever, and by
// whom, the family answers as a few numbers say.
func TestRefreshTokensAgainstAModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.New(t)
		defer s.Close()
		d := house(t, s)
		session, rounds := "", 0
		// Without a deadline, which is of another clock.
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
			if rounds++; rounds%10 == 1 { // sessions end
				_, session, _ = resident(t, d, fmt.Sprint("ann", rounds))
			}
			c := newChain(t, d, session)
			var spent []time.Time // of each token but the newest
			told := map[int]int{} // how often a token was told as a successor
			ended := false
			rt.Repeat(map[string]func(*rapid.T){
				"wait": func(rt *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds")) * time.Second)
				},
				"by another program": func(rt *rapid.T) {
					i := rapid.IntRange(0, len(c.known)-1).Draw(rt, "token")
					if _, err := d.Refresh(t.Context(), directory.CommandID, c.known[i]); !errors.Is(err, directory.ErrCode) {
						rt.Fatalf("token %d by another program: %v", i, err)
					}
				},
				"show": func(rt *rapid.T) {
					newest := len(c.known) - 1
					// The thief has the last ones, mostly.
					i := max(0, newest-rapid.IntRange(0, 3).Draw(rt, "back"))
					got, err := c.show(i)
					switch {
					case ended:
						if !errors.Is(err, directory.ErrRevoked) {
							rt.Fatalf("after the end: %v", err)
						}
					case i == newest:
						if err != nil || got != newest+1 {
							rt.Fatalf("the newest: %d %v", got, err)
						}
						spent = append(spent, time.Now())
						told[got] = 1
					case i == newest-1 && time.Since(spent[i]) <= 30*time.Second && told[newest] == 1 && told[i] < 2:
						if err != nil || got != newest {
							rt.Fatalf("an answer that was lost: %d %v", got, err)
						}
						told[newest] = 2
					default:
						if ended = true; !errors.Is(err, directory.ErrSpent) {
							rt.Fatalf("token %d of %d again: %d %v", i, newest, got, err)
						}
					}
				},
			})
		})
	})
}

// TestTheStoreTellsNoRefreshToken: not even with the nonce that the next is made
// with, which is gone once the next was used.
func TestTheStoreTellsNoRefreshToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := house(t, s)
		_, session, _ := resident(t, d, "ann")
		c := newChain(t, d, session)
		for i := range 3 {
			if _, err := c.show(i); err != nil {
				t.Fatal(err)
			}
		}
		var nonces []string
		err := s.Read(t.Context(), func(tx *store.Tx) (err error) {
			nonces, err = store.All(t.Context(), tx, func(scan store.Scan) (string, error) {
				var hash, nonce string
				err := scan(&hash, &nonce)
				for _, token := range c.known {
					if strings.Contains(hash+nonce, token) {
						t.Error("the store has a token")
					}
				}
				return nonce, err
			}, "SELECT hash, nonce FROM refresh_token WHERE nonce <> ''")
			return err
		})
		if err != nil || len(nonces) != 1 {
			t.Errorf("nonces %d, %v", len(nonces), err)
		}
	})
}
