package keyvault

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

func (w *world) secrets(id string) *azsecrets.Client {
	w.Helper()
	// DisableChallengeResourceVerification stays false.
	c, err := azsecrets.NewClient(w.vaultURL, w.credential(id), &azsecrets.ClientOptions{ClientOptions: w.options()})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// refused tells that a request was refused with a status and a code, and that
// the error, which clients print, shows no secret.
func (w *world) refused(what string, err error, status int, code string) {
	w.Helper()
	e, is := errors.AsType[*azcore.ResponseError](err)
	if !is || e.StatusCode != status || e.ErrorCode != code {
		w.Errorf("%s: %v, want %d %s", what, err, status, code)
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		w.Errorf("%s: the error shows the secret", what)
	}
}

// TestAzuresClient does with azsecrets all that it can do.
func TestAzuresClient(t *testing.T) {
	w := newWorld(t, false)
	ctx := t.Context()
	c := w.secrets(ownerID)
	expires := time.Now().Add(70 * 24 * time.Hour).Truncate(time.Second).UTC()
	set, err := c.SetSecret(ctx, "client-secret", azsecrets.SetSecretParameters{
		Value: to.Ptr(canary), ContentType: to.Ptr("text/plain"), Tags: map[string]*string{"for": to.Ptr("billing")},
		SecretAttributes: &azsecrets.SecretAttributes{Expires: &expires},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if set.ID.Name() != "client-secret" || len(set.ID.Version()) != 32 || !set.Attributes.Expires.Equal(expires) || *set.Attributes.RecoveryLevel != "Recoverable+Purgeable" || *set.Attributes.RecoverableDays != 90 {
		t.Errorf("set: %s, %+v", *set.ID, set.Attributes)
	}
	next, err := c.SetSecret(ctx, "client-secret", azsecrets.SetSecretParameters{Value: to.Ptr(canary + "2")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"": canary + "2", set.ID.Version(): canary, next.ID.Version(): canary + "2"} {
		got, err := c.GetSecret(ctx, "client-secret", version, nil)
		if err != nil || *got.Value != want {
			t.Errorf("version %q: %v", version, err)
		}
	}
	updated, err := c.UpdateSecretProperties(ctx, "client-secret", set.ID.Version(), azsecrets.UpdateSecretPropertiesParameters{SecretAttributes: &azsecrets.SecretAttributes{Enabled: to.Ptr(false)}}, nil)
	if err != nil || *updated.Attributes.Enabled || *updated.ContentType != "text/plain" || *updated.Tags["for"] != "billing" {
		t.Errorf("updated: %+v, %v", updated, err)
	}
	_, err = c.GetSecret(ctx, "client-secret", set.ID.Version(), nil)
	w.refused("a disabled version", err, http.StatusForbidden, "Forbidden")

	// Three pages of them.
	for i := range 60 {
		if _, err := c.SetSecret(ctx, "s"+strings.Repeat("x", i), azsecrets.SetSecretParameters{Value: to.Ptr(canary)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	found, pages := 0, 0
	for pager := c.NewListSecretPropertiesPager(nil); pager.More(); pages++ {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Value)
	}
	if found != 61 || pages != 3 {
		t.Errorf("%d secrets on %d pages", found, pages)
	}
	versions := 0
	for pager := c.NewListSecretPropertiesVersionsPager("client-secret", nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		versions += len(page.Value)
	}
	if versions != 2 {
		t.Errorf("%d versions", versions)
	}

	saved, err := c.BackupSecret(ctx, "client-secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(saved.Value), canary) {
		t.Error("the backup shows the secret")
	}
	deleted, err := c.DeleteSecret(ctx, "client-secret", nil)
	if err != nil || deleted.RecoveryID == nil || deleted.ScheduledPurgeDate.Sub(*deleted.DeletedDate) != 90*24*time.Hour {
		t.Errorf("deleted: %+v, %v", deleted, err)
	}
	_, err = c.GetSecret(ctx, "client-secret", "", nil)
	w.refused("a deleted secret", err, http.StatusNotFound, "SecretNotFound")
	_, err = c.SetSecret(ctx, "client-secret", azsecrets.SetSecretParameters{Value: to.Ptr(canary)}, nil)
	w.refused("one in its place", err, http.StatusConflict, "Conflict")
	if _, err := c.GetDeletedSecret(ctx, "client-secret", nil); err != nil {
		t.Error(err)
	}
	trash := 0
	for pager := c.NewListDeletedSecretPropertiesPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		trash += len(page.Value)
	}
	if trash != 1 {
		t.Errorf("%d deleted secrets", trash)
	}
	if _, err := c.RecoverDeletedSecret(ctx, "client-secret", nil); err != nil {
		t.Error(err)
	}
	_, err = c.RestoreSecret(ctx, azsecrets.RestoreSecretParameters{SecretBackup: saved.Value}, nil)
	w.refused("restored over another", err, http.StatusConflict, "Conflict")
	if _, err := c.DeleteSecret(ctx, "client-secret", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.PurgeDeletedSecret(ctx, "client-secret", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.RestoreSecret(ctx, azsecrets.RestoreSecretParameters{SecretBackup: saved.Value}, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetSecret(ctx, "client-secret", "", nil); err != nil || *got.Value != canary+"2" || got.ID.Version() != next.ID.Version() {
		t.Errorf("restored: %v", err)
	}
	w.searchFiles()
}

// TestAReaderOfOneVault is A14 of the procedure of 2022: Get, and nothing else.
func TestAReaderOfOneVault(t *testing.T) {
	w := newWorld(t, true)
	ctx := t.Context()
	if _, err := w.secrets(ownerID).SetSecret(ctx, "client-secret", azsecrets.SetSecretParameters{Value: to.Ptr(canary)}, nil); err != nil {
		t.Fatal(err)
	}
	c := w.secrets(readerID)
	if got, err := c.GetSecret(ctx, "client-secret", "", nil); err != nil || *got.Value != canary {
		t.Errorf("get: %v", err)
	}
	_, err := c.SetSecret(ctx, "client-secret", azsecrets.SetSecretParameters{Value: to.Ptr(canary)}, nil)
	w.refused("set", err, http.StatusForbidden, "Forbidden")
	_, err = c.NewListSecretPropertiesPager(nil).NextPage(ctx)
	w.refused("list", err, http.StatusForbidden, "Forbidden")
	_, err = c.BackupSecret(ctx, "client-secret", nil)
	w.refused("backup", err, http.StatusForbidden, "Forbidden")
}

// searchFiles looks for the secret in all files of the deployment, the log of
// the database among them.
func (w *world) searchFiles() {
	w.Helper()
	err := filepath.WalkDir(w.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), canary) {
			w.Errorf("%s shows the secret", filepath.Base(path))
		}
		return err
	})
	if err != nil {
		w.Error(err)
	}
}
