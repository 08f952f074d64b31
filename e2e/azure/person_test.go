package azure

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
)

const (
	azureCLIApp    = "04b07795-8ddb-461a-bbee-02f9e1bf7b46" // by which azure-cli signs in
	personName     = "ann@lab.telecom.example"
	personPassword = "canary lamp river onion forty"
)

// person is somebody with a browser and an authenticator app.
type person struct {
	testing.TB
	base   string
	client *http.Client
	seed   []byte
	step   int64 // of the last code
	page   string
}

// newPerson makes an administrator known by `tandem user`, who follows the link.
func newPerson(t testing.TB, base string) *person {
	t.Helper()
	out, err := exec.Command(program, "user", "create", personName, "--display-name", "Ann Archer", "--admin", "--role", "Owner", "--json", "--socket", folders[base]+"/data/control.sock").CombinedOutput()
	if err != nil {
		t.Fatalf("tandem user create: %v\n%s", err, out)
	}
	var made struct{ Link string }
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{TB: t, base: base, client: &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: root.Roots()}}}}
	p.get(made.Link)
	p.send("again", "password", personPassword, "again", personPassword)
	key := regexp.MustCompile(`<span class="seed">([^<]*)</span>`).FindStringSubmatch(p.page)
	if key == nil {
		t.Fatalf("no seed:\n%s", p.page)
	}
	if p.seed, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(key[1], " ", "")); err != nil {
		t.Fatal(err)
	}
	p.send(`id="code"`, "code", p.code())
	p.sees("Recovery codes")
	p.get(base + "/" + tenantID + "/account")
	p.sees("Your account")
	return p
}

// code is what the app shows (RFC 6238): the first of those the server takes
// that was not used.
func (p *person) code() string {
	p.step = max(p.step+1, time.Now().Unix()/30-1)
	mac := hmac.New(sha1.New, p.seed)
	_ = binary.Write(mac, binary.BigEndian, p.step)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

func (p *person) took(res *http.Response, err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	_, p.page, _ = strings.Cut(string(b), "</style>")
}

func (p *person) get(at string) { p.Helper(); p.took(p.client.Get(at)) }

func (p *person) sees(headline string) {
	p.Helper()
	if !strings.Contains(p.page, "<h1>"+headline) {
		p.Fatalf("the page is not %q:\n%s", headline, p.page)
	}
}

var (
	formIn   = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hiddenIn = regexp.MustCompile(`<input type="hidden" name="([^"]+)"[^>]* value="([^"]*)"`)
)

// send sends the form that holds something.
func (p *person) send(having string, pairs ...string) {
	p.Helper()
	for _, m := range formIn.FindAllStringSubmatch(p.page, -1) {
		if !strings.Contains(m[2], having) {
			continue
		}
		v := url.Values{}
		for _, x := range hiddenIn.FindAllStringSubmatch(m[2], -1) {
			v.Set(html.UnescapeString(x[1]), html.UnescapeString(x[2]))
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		p.took(p.client.PostForm(p.base+html.UnescapeString(m[1]), v))
		return
	}
	p.Fatalf("no form with %q:\n%s", having, p.page)
}

// allow types the code that a program shows, and lets it act.
func (p *person) allow(at, code, name string) {
	p.Helper()
	p.get(at)
	p.sees("Enter the code")
	p.send("user_code", "user_code", code)
	p.sees("Sign in to " + name)
	p.send("answer", "answer", "yes")
	p.sees("You are signed in")
}

// TestAzuresSDKForAPerson: azidentity shows a code, a person types it, and what
// they may do the program may.
func TestAzuresSDKForAPerson(t *testing.T) {
	base := serve(t)
	p := newPerson(t, base)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	here := policy.ClientOptions{Cloud: cloud.Configuration{
		ActiveDirectoryAuthorityHost: base,
		Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: base, Audience: base + "/"}},
	}}
	credential, err := azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions: here, TenantID: tenantID, ClientID: azureCLIApp, DisableInstanceDiscovery: true,
		UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
			if !strings.Contains(m.Message, m.UserCode) {
				t.Errorf("the message %q does not say the code", m.Message)
			}
			p.allow(m.VerificationURL, m.UserCode, "Microsoft Azure CLI")
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	groups, err := armresources.NewResourceGroupsClient(subscriptionID, credential, &arm.ClientOptions{ClientOptions: here})
	if err != nil {
		t.Fatal(err)
	}
	location := "westeurope"
	if _, err := groups.CreateOrUpdate(ctx, "anns", armresources.ResourceGroup{Location: &location}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := groups.Get(ctx, "anns", nil)
	if err != nil || *got.Name != "anns" {
		t.Fatalf("%v %v", got, err)
	}
	// Another resource, without a question: by the refresh token.
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	if err != nil || token.Token == "" {
		t.Errorf("a token for Microsoft Graph: %v", err)
	}
}

// TestAzuresSDKByAssertion: an application proves itself by a token of another
// issuer; here that is Tandem, and the token one of the node's own application.
func TestAzuresSDKByAssertion(t *testing.T) {
	base := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	options := policy.ClientOptions{Cloud: cloud.Configuration{
		ActiveDirectoryAuthorityHost: base,
		Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: base, Audience: base + "/"}},
	}}
	first, err := azidentity.NewClientSecretCredential(tenantID, clientID, clientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	token, err := first.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{base + "//.default"}})
	if err != nil {
		t.Fatal(err)
	}
	graph := func(path string, body map[string]any) (out struct{ ID, AppID string }) {
		t.Helper()
		b, _ := json.Marshal(body)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1.0"+path, strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token.Token)
		req.Header.Set("Content-Type", "application/json")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: root.Roots()}}}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusCreated || json.Unmarshal(text, &out) != nil {
			t.Fatalf("%s: %s %s", path, res.Status, text)
		}
		return out
	}
	app := graph("/applications", map[string]any{"displayName": "uploader"})
	graph("/servicePrincipals", map[string]any{"appId": app.AppID})
	proves := func() error {
		second, err := azidentity.NewClientAssertionCredential(tenantID, app.AppID, func(context.Context) (string, error) { return token.Token, nil },
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = second.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{base + "//.default"}})
		return err
	}
	if err := proves(); err == nil || !strings.Contains(err.Error(), "AADSTS700211") {
		t.Errorf("without a federated credential: %v", err)
	}
	var whose struct{ Iss, Sub, Aud string }
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Token, ".")[1])
	if err != nil || json.Unmarshal(claims, &whose) != nil {
		t.Fatal(err)
	}
	graph("/applications/"+app.ID+"/federatedIdentityCredentials", map[string]any{"name": "here", "issuer": whose.Iss, "subject": whose.Sub, "audiences": []string{whose.Aud}})
	if err := proves(); err != nil {
		t.Errorf("with one: %v", err)
	}
}

// TestAzureCLIForAPerson: `az login --use-device-code`.
func TestAzureCLIForAPerson(t *testing.T) {
	if testing.Short() {
		t.Skip("azure-cli takes a minute")
	}
	az := &azureCLI{t, peer(t, "az"), t.TempDir()}
	base := serve(t)
	p := newPerson(t, base)
	config, _ := json.Marshal(map[string]any{"endpoints": map[string]string{
		"resourceManager": base, "management": base, "activeDirectory": base + "/adfs", "activeDirectoryResourceId": base + "/", "microsoftGraphResourceId": base, "activeDirectoryGraphResourceId": base, "gallery": base,
	}})
	az.run("cloud", "register", "-n", "Tandem", "--cloud-config", string(config))
	az.run("cloud", "set", "-n", "Tandem")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, az.path, "login", "--use-device-code", "--tenant", tenantID)
	cmd.Env = append(os.Environ(), "AZURE_CONFIG_DIR="+az.home, "REQUESTS_CA_BUNDLE="+rootPEM, "AZURE_CORE_COLLECT_TELEMETRY=false", "NO_PROXY=localhost", "no_proxy=localhost")
	says, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ask := regexp.MustCompile(`open the page (\S+) and enter the code (\S+) to`)
	var all strings.Builder
	for lines := bufio.NewScanner(says); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if m := ask.FindStringSubmatch(lines.Text()); m != nil {
			p.allow(m[1], m[2], "Microsoft Azure CLI")
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("az login: %v\n%s", err, all.String())
	}
	if !strings.Contains(out.String(), personName) || !strings.Contains(out.String(), subscriptionID) {
		t.Errorf("az login says %s", out.String())
	}
	az.run("group", "create", "-n", "anns", "-l", "westeurope")
	if got := az.run("group", "list", "-o", "tsv", "--query", "[].name"); got != "anns" {
		t.Errorf("groups: %q", got)
	}
	if got := az.run("ad", "signed-in-user", "show", "-o", "tsv", "--query", "userPrincipalName"); got != personName {
		t.Errorf("who is signed in: %q", got)
	}
	if got := az.run("account", "show", "-o", "tsv", "--query", "user.type"); got != "user" {
		t.Errorf("account: %q", got)
	}
}
