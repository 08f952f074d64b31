package directory

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// Credential is a client secret without its value, which was shown once.
type Credential struct {
	ID         string
	Name       string
	Hint       string // the first three characters of the value
	Start, End time.Time
}

// secretLife is how long a secret is good unless something else is asked for,
// and the most that may be asked for (Microsoft Graph docs, "application:
// addPassword").
const (
	secretLife    = 2 * 365 * 24 * time.Hour
	maxSecretLife = 100 * 365 * 24 * time.Hour
)

const hintLength = 3

// AddSecret makes a client secret. Its value is in the answer and nowhere
// else; end is when it expires, the zero time for two years.
func (s *Set) AddSecret(ctx context.Context, c Caller, id, name string, end time.Time) (cred Credential, value obs.Secret, err error) {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/applications/credentials/update", target: target(c.Tenant, "applications", id)}
	if err := s.allowed(ctx, &e); err != nil {
		return cred, "", err
	}
	value = newSecret()
	hashed := hash(string(value)) // slow: not within the transaction
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		a, err := s.applicationToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		cred = Credential{ID: newID(), Name: name, Hint: string(value[:hintLength]), Start: now(), End: end.UTC().Truncate(time.Microsecond)}
		if end.IsZero() {
			cred.End = cred.Start.Add(secretLife)
		}
		switch {
		case len(a.Secrets) >= maxSecrets:
			return invalid("An application has at most %d secrets: remove those that have expired.", maxSecrets)
		case name != "" && checkName("displayName", name) != nil:
			return checkName("displayName", name)
		case !cred.End.After(cred.Start) || cred.End.Sub(cred.Start) > maxSecretLife:
			return invalid("The end of a secret must be later than now, and within 100 years.")
		}
		e.target += "/secrets/" + cred.ID
		_, err = tx.Exec(ctx, "INSERT INTO application_secret (id, app, name, hint, hash, begins, ends) VALUES (?, ?, ?, ?, ?, ?, ?)",
			cred.ID, a.AppID, cred.Name, cred.Hint, hashed, store.Micros(cred.Start), store.Micros(cred.End))
		return err
	})
	if err != nil {
		return Credential{}, "", err
	}
	return cred, value, nil
}

// newSecret is 240 bits, in the form that people know: 40 characters, of which
// none has a meaning to a shell.
func newSecret() obs.Secret {
	b := make([]byte, 30)
	rand.Read(b)
	return obs.Secret(strings.NewReplacer("-", "~", "_", ".").Replace(base64.RawURLEncoding.EncodeToString(b)))
}

// RemoveSecret revokes a client secret.
func (s *Set) RemoveSecret(ctx context.Context, c Caller, id, secret string) error {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/applications/credentials/update", target: target(c.Tenant, "applications", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		a, err := s.applicationToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM application_secret WHERE id = ? AND app = ?", strings.ToLower(secret), a.AppID)
		if err == nil && n == 0 {
			err = invalid("No password credential found with keyId '%.50s'.", secret)
		}
		e.target += "/secrets/" + strings.ToLower(secret)
		return err
	})
}

// credentials are the secrets of an application, without their hashes.
func credentials(ctx context.Context, tx *store.Tx, app string) ([]Credential, error) {
	return store.All(ctx, tx, func(scan store.Scan) (c Credential, err error) {
		var begins, ends int64
		err = scan(&c.ID, &c.Name, &c.Hint, &begins, &ends)
		c.Start, c.End = store.Time(begins), store.Time(ends)
		return c, err
	}, "SELECT id, name, hint, begins, ends FROM application_secret WHERE app = ? ORDER BY begins, id", app)
}

// FederatedCredential lets an application sign in by a token of another issuer
// (Microsoft Entra docs, "Workload identity federation").
type FederatedCredential struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Issuer      string   `json:"issuer"`
	Subject     string   `json:"subject"`
	Audiences   []string `json:"audiences"`
	Description string   `json:"description,omitempty"`
}

// FederatedAudience is the audience of such tokens unless another is named.
const FederatedAudience = "api://AzureADTokenExchange"

// AddFederated lets an application sign in by the tokens that f describes.
func (s *Set) AddFederated(ctx context.Context, c Caller, id string, f FederatedCredential) (FederatedCredential, error) {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/applications/credentials/update", target: target(c.Tenant, "applications", id)}
	err := s.change(ctx, &e, func(tx *store.Tx) error {
		a, err := s.applicationToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		f.ID = newID()
		if len(f.Audiences) == 0 {
			f.Audiences = []string{FederatedAudience}
		}
		if err := checkFederated(f); err != nil {
			return err
		}
		for _, old := range a.Federated {
			if strings.EqualFold(old.Name, f.Name) || old.Issuer == f.Issuer && old.Subject == f.Subject {
				return invalid("FederatedIdentityCredential with name '%s', or with this issuer and subject, already exists.", f.Name)
			}
		}
		if len(a.Federated) >= maxFederated {
			return invalid("An application has at most %d federated identity credentials.", maxFederated)
		}
		a.Federated = append(slices.Clone(a.Federated), f)
		e.target += "/federatedIdentityCredentials/" + f.ID
		return saveApplication(ctx, tx, a)
	})
	return f, err
}

// maxIssuer is the most that issuer and subject may have (Microsoft Graph docs,
// "federatedIdentityCredential resource type").
const maxIssuer = 600

func checkFederated(f FederatedCredential) error {
	if err := checkName("name", f.Name); err != nil {
		return err
	}
	if strings.ContainsAny(f.Name, "/\\?#%") || len(f.Name) > 120 {
		return invalid("The name of a federated identity credential has up to 120 characters, none of / \\ ? # %%.")
	}
	u, err := url.Parse(f.Issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(f.Issuer) > maxIssuer || strings.ContainsAny(f.Issuer, "?# "):
		return invalid("The issuer must be an https URL without query.")
	case f.Subject == "" || len(f.Subject) > maxIssuer:
		return invalid("The subject has 1 to %d characters.", maxIssuer)
	case len(f.Audiences) != 1 || f.Audiences[0] == "" || len(f.Audiences[0]) > maxIssuer:
		return invalid("A federated identity credential has one audience.")
	}
	return nil
}

// RemoveFederated ends that.
func (s *Set) RemoveFederated(ctx context.Context, c Caller, id, credential string) error {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/applications/credentials/update", target: target(c.Tenant, "applications", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		a, err := s.applicationToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(a.Federated, func(f FederatedCredential) bool {
			return strings.EqualFold(f.ID, credential) || strings.EqualFold(f.Name, credential)
		})
		if i < 0 {
			return missing("federated identity credential", credential)
		}
		e.target += "/federatedIdentityCredentials/" + a.Federated[i].ID
		a.Federated = slices.Delete(slices.Clone(a.Federated), i, i+1)
		return saveApplication(ctx, tx, a)
	})
}
