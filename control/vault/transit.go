package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
)

// Transit is a keeper whose key never leaves a key management service that
// speaks the transit API of HashiCorp Vault and OpenBao ("Transit secrets
// engine (API)", Encrypt Data, Decrypt Data). The key must be of a type with
// associated data, such as aes256-gcm96.
type Transit struct {
	URL   string // "https://kms.telecom.example:8200/v1/transit"
	Key   string // name of the key
	Token func() (obs.Secret, error)
	HTTP  *http.Client // nil: the system's authorities
}

// Prepare has nothing to do: the key is made where it is kept.
func (*Transit) Prepare(context.Context, bool) error { return nil }

// Wrap has a data key encrypted.
func (t *Transit) Wrap(ctx context.Context, key, about []byte) ([]byte, error) {
	got, err := t.call(ctx, "encrypt", map[string][]byte{"plaintext": key, "associated_data": about}, nil)
	return []byte(got.Ciphertext), err
}

// Unwrap has a data key decrypted.
func (t *Transit) Unwrap(ctx context.Context, wrapped, about []byte) ([]byte, error) {
	got, err := t.call(ctx, "decrypt", map[string][]byte{"associated_data": about}, wrapped)
	if err != nil {
		return nil, err
	}
	key := make([]byte, base64.StdEncoding.DecodedLen(len(got.Plaintext)))
	n, err := base64.StdEncoding.Decode(key, []byte(got.Plaintext))
	return key[:n], err
}

// transitAnswer is what the service says.
type transitAnswer struct{ Ciphertext, Plaintext string }

// transitTime is how long the service may take: a start, or the first secret
// in minutes, waits for it.
const transitTime = 10 * time.Second

func (t *Transit) call(ctx context.Context, what string, parts map[string][]byte, ciphertext []byte) (got transitAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, transitTime)
	defer cancel()
	said := map[string]string{}
	for name, b := range parts {
		said[name] = base64.StdEncoding.EncodeToString(b)
	}
	if ciphertext != nil {
		said["ciphertext"] = string(ciphertext)
	}
	body, err := json.Marshal(said)
	if err != nil {
		return got, err
	}
	defer clear(body)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(t.URL, "/")+"/"+what+"/"+url.PathEscape(t.Key), bytes.NewReader(body))
	if err != nil {
		return got, err
	}
	token, err := t.Token()
	if err != nil {
		return got, fmt.Errorf("read token of the key management service: %w", err)
	}
	r.Header.Set("X-Vault-Token", string(token))
	res, err := cmp.Or(t.HTTP, http.DefaultClient).Do(r)
	if err != nil {
		return got, unavailable(fmt.Errorf("%s: %w", what, err))
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	defer clear(text)
	if err != nil || res.StatusCode != http.StatusOK {
		// Not the body: it answers what it was sent.
		return got, unavailable(fmt.Errorf("%s: %s", what, cmp.Or(errText(err), res.Status)))
	}
	var envelope struct{ Data transitAnswer }
	if json.Unmarshal(text, &envelope) != nil || envelope.Data == got {
		return got, unavailable(fmt.Errorf("%s: not an answer of a transit engine", what))
	}
	return envelope.Data, nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func unavailable(err error) error {
	return &fault.Error{Kind: fault.Unavailable, Public: "The key management service does not wrap or unwrap keys: secrets cannot be read.", Err: err}
}
