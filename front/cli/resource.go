package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
)

// apiVersion is the newest of the resource API, which has all there is.
const apiVersion = "2024-02-16-preview"

// The resource API's paths below a resource group.
const (
	gatewaysPath   = "/providers/Microsoft.VoiceServices/communicationsGateways"
	testLinesPath  = "/testLines"
	groupsVersion  = "2021-04-01"
	operationSteps = "steps" // in the properties of an operation's status
)

// resources is a client of the resource API: over the control socket of a
// control node, whose mode guards it, or by HTTPS with a token.
type resources struct {
	base         string // "https://api.telecom.example:8443"
	send         func(*http.Request) (*http.Response, error)
	token        func(context.Context) (string, error) // nil: none is needed
	subscription string                                // "": the only one there is
	loud         io.Writer                             // where requests are shown; nil: nowhere
}

// connection is where the resource API is, as flags and the environment say.
type connection struct {
	socket, endpoint, subscription, ca string
}

// connectionFlags adds them to a command and those below it.
func connectionFlags(cmd *cobra.Command) *connection {
	c := &connection{}
	f := cmd.PersistentFlags()
	f.StringVar(&c.socket, "socket", cmp.Or(os.Getenv("TANDEM_SOCKET"), DefaultSocket), "control socket of a control node (or TANDEM_SOCKET)")
	f.StringVar(&c.endpoint, "endpoint", os.Getenv("TANDEM_ENDPOINT"), "https URL of the resource API instead of the socket (or TANDEM_ENDPOINT)")
	f.StringVar(&c.subscription, "subscription", os.Getenv("TANDEM_SUBSCRIPTION"), "ID or name of the subscription; the only one there is, unless told (or TANDEM_SUBSCRIPTION)")
	f.StringVar(&c.ca, "ca", os.Getenv("TANDEM_CA"), "with --endpoint: PEM file of the authorities trusted for it (or TANDEM_CA)")
	return c
}

const connectionHelp = `

It speaks to the control node whose socket is named, or with --endpoint to the
resource API by HTTPS; then "tandem login" says who you are, or for programs
TANDEM_CLIENT_ID, TANDEM_CLIENT_SECRET (or TANDEM_CLIENT_SECRET_FILE) and
TANDEM_TENANT_ID do. The names AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and
AZURE_TENANT_ID are read as well.`

// open makes the client. Nothing is connected yet.
func (c *connection) open() (*resources, error) {
	if c.endpoint == "" {
		return &resources{base: "http://node", send: ops.Dial(c.socket).Do, subscription: c.subscription}, nil
	}
	u, err := url.Parse(c.endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, usagef("--endpoint %q: write an https URL such as https://api.telecom.example:8443", c.endpoint)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a command asks little, and leaves nothing behind
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, usagef("--ca: %v", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usagef("--ca: %s holds no certificate in PEM form", c.ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	r := &resources{base: "https://" + u.Host, subscription: c.subscription}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	r.send = func(req *http.Request) (*http.Response, error) {
		res, err := client.Do(req)
		if err != nil && !errors.Is(err, context.Canceled) {
			err = cmp.Or(untrusted(err, u), fmt.Errorf("%w at %s: %w", ops.ErrNoNode, r.base, err))
		}
		return res, err
	}
	var kept string // a command lasts less than a token, and asks one thing at a time
	r.token = func(ctx context.Context) (_ string, err error) {
		if kept == "" {
			kept, err = r.signIn(ctx)
		}
		return kept, err
	}
	return r, nil
}

// untrusted tells what is wrong with the certificate of who answers at u; nil
// when that is not what went wrong.
func untrusted(err error, u *url.URL) error {
	say := func(format string, args ...any) error {
		return &fault.Error{Kind: fault.Denied, Public: "who answers at " + u.Host + " shows a certificate " + fmt.Sprintf(format, args...), Err: err}
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		bears := strings.Join(bearing(e.Certificate), ", ")
		return say("for %s, not for %s: name one of those in --endpoint, or see that it is the right machine", cmp.Or(bears, "no name"), u.Hostname())
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		by := "an authority"
		if e.Cert != nil {
			by = cmp.Or(e.Cert.Issuer.CommonName, by)
		}
		return say("by %s, which is not trusted here: name the file of that authority by --ca", by)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return say("that holds from %s to %s: have it renewed, or see to the clocks", e.Cert.NotBefore.UTC().Format(time.DateTime), e.Cert.NotAfter.UTC().Format(time.DateTime))
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return say("that is not valid: %v", e.Err)
	}
	return nil
}

// bearing is the names and addresses in a certificate.
func bearing(c *x509.Certificate) []string {
	if c == nil {
		return nil
	}
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// fromEnv is the first that is set of TANDEM_NAME and AZURE_NAME.
func fromEnv(name string) string { return cmp.Or(os.Getenv("TANDEM_"+name), os.Getenv("AZURE_"+name)) }

// signIn gets a token: with client credentials (RFC 6749 §4.4) where the
// environment has them, else that of the person who is signed in.
func (r *resources) signIn(ctx context.Context) (string, error) {
	id, secret, tenant := fromEnv("CLIENT_ID"), fromEnv("CLIENT_SECRET"), fromEnv("TENANT_ID")
	if file := os.Getenv("TANDEM_CLIENT_SECRET_FILE"); secret == "" && file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", usagef("TANDEM_CLIENT_SECRET_FILE: %v", err)
		}
		secret = strings.TrimSpace(string(data))
	}
	if id == "" || secret == "" {
		token, err := r.personal(ctx)
		if err == nil && token == "" {
			err = usagef(`nobody is signed in: run "tandem login --endpoint %s", or set TANDEM_CLIENT_ID, TANDEM_CLIENT_SECRET and TANDEM_TENANT_ID`, r.base)
		}
		return token, err
	}
	authority, scope, err := r.authority(ctx, tenant)
	if err != nil {
		return "", err
	}
	var g granted
	scope, _, _ = strings.Cut(scope, " ")
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}, "scope": {scope}}
	if err := r.ask(ctx, authority+"/oauth2/v2.0/token", form, &g); err != nil {
		return "", err
	}
	if g.AccessToken == "" {
		return "", fault.New(fault.Denied, "sign-in refused: "+cmp.Or(g.Description, g.Error))
	}
	return g.AccessToken, nil
}

// authority is where the API says that its tokens are, and the scope to ask for.
func (r *resources) authority(ctx context.Context, tenant string) (at, scope string, err error) {
	var cloud struct {
		Authentication struct {
			LoginEndpoint string   `json:"loginEndpoint"`
			Audiences     []string `json:"audiences"`
			Tenant        string   `json:"tenant"`
		} `json:"authentication"`
	}
	if err := r.plainGet(ctx, "/metadata/endpoints?api-version=2022-09-01", &cloud); err != nil {
		return "", "", err
	}
	a := cloud.Authentication
	if len(a.Audiences) == 0 {
		a.Audiences = []string{r.base}
	}
	return strings.TrimSuffix(a.LoginEndpoint, "/") + "/" + url.PathEscape(cmp.Or(tenant, a.Tenant, "common")),
		strings.TrimSuffix(a.Audiences[0], "/") + "/.default offline_access", nil
}

func (r *resources) plainGet(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return fmt.Errorf("ask the resource API: %w", err)
	}
	res, err := r.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the resource API answers %s to %s: is %s one?", res.Status, path, r.base)
	}
	return json.NewDecoder(io.LimitReader(res.Body, maxPage)).Decode(into)
}

// answer is what the resource API said.
type answer struct {
	status int
	header http.Header
	body   map[string]any // nil: none
}

// maxPage is more than a page of the largest list takes.
const maxPage = 64 << 20

// do asks and reads the answer. What the API refuses is an error with all that
// it says.
func (r *resources) do(ctx context.Context, method, path string, body any) (answer, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return answer{}, fmt.Errorf("write the request: %w", err)
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, in)
	if err != nil {
		return answer{}, fmt.Errorf("ask the resource API: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "tandem-cli")
	if r.token != nil {
		token, err := r.token(ctx)
		if err != nil {
			return answer{}, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := r.send(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	if r.loud != nil { // neither bodies nor headers: secrets are in them
		fmt.Fprintf(r.loud, "%s %s: %s, request %s\n", method, plain(path), plain(res.Status), plain(res.Header.Get("x-ms-request-id")))
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	a := answer{status: res.StatusCode, header: res.Header}
	if len(bytes.TrimSpace(data)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if err := dec.Decode(&a.body); err != nil && res.StatusCode < 300 {
			return a, fmt.Errorf("read the answer: %w", err)
		}
	}
	if res.StatusCode >= 300 {
		return a, a.refusal()
	}
	return a, nil
}

// refusal is the error envelope as a sentence, with a line for each detail.
func (a answer) refusal() error {
	envelope, _ := a.body["error"].(map[string]any)
	text, code := str(envelope["message"]), str(envelope["code"])
	if text == "" {
		text = "the resource API answers " + strconv.Itoa(a.status)
	}
	if code != "" {
		text = "(" + code + ") " + text
	}
	details, _ := envelope["details"].([]any)
	for _, d := range details {
		if d, ok := d.(map[string]any); ok {
			line := str(d["message"])
			if target := str(d["target"]); target != "" && !strings.HasPrefix(line, target) {
				line = target + ": " + line
			}
			if !strings.Contains(text, line) { // many messages say it all
				text += "\n" + line
			}
		}
	}
	return fault.New(kindOfStatus(a.status), text)
}

func kindOfStatus(status int) fault.Kind {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fault.Internal // the command line was understood: its values were refused
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.Denied
	case http.StatusNotFound:
		return fault.NotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return fault.Conflict
	case http.StatusTooManyRequests:
		return fault.Exhausted
	case http.StatusServiceUnavailable:
		return fault.Unavailable
	}
	return fault.Internal
}

func str(v any) string { s, _ := v.(string); return s }

// list reads all pages of a list.
func (r *resources) list(ctx context.Context, path string) ([]any, error) {
	all := []any{}
	for path != "" {
		a, err := r.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			return nil, err
		}
		page, _ := a.body["value"].([]any)
		all = append(all, page...)
		path = pathOf(str(a.body["nextLink"]))
	}
	return all, nil
}

// pathOf is a URL of the API without the host, which is ours to choose: the
// API may be found under another name. "" stays "".
func pathOf(link string) string {
	u, err := url.Parse(link)
	if err != nil || link == "" {
		return ""
	}
	return u.RequestURI()
}

// scope is the path of the subscription.
func (r *resources) scope(ctx context.Context) (string, error) {
	all, err := r.list(ctx, "/subscriptions?api-version=2022-12-01")
	if err != nil {
		return "", err
	}
	var names []string
	for _, s := range all {
		s, _ := s.(map[string]any)
		id, name := str(s["subscriptionId"]), str(s["displayName"])
		if strings.EqualFold(r.subscription, id) || r.subscription != "" && r.subscription == name || r.subscription == "" && len(all) == 1 {
			return "/subscriptions/" + id, nil
		}
		names = append(names, id+" ("+name+")")
	}
	slices.Sort(names)
	switch {
	case len(all) == 0:
		return "", fault.New(fault.NotFound, "there is no subscription that you may see")
	case r.subscription == "":
		return "", usagef("name one with --subscription: %s", strings.Join(names, ", "))
	}
	return "", fault.New(fault.NotFound, "there is no subscription "+r.subscription+": there are "+strings.Join(names, ", "))
}

// version adds the API's version to a path.
func version(path string) string { return path + "?api-version=" + apiVersion }

// settle waits until the operation that an answer began has ended, telling
// steps as they come.
func (r *resources) settle(ctx context.Context, a answer, tell func(string)) error {
	at := pathOf(a.header.Get("Azure-AsyncOperation"))
	byLocation := at == ""
	if byLocation {
		at = pathOf(a.header.Get("Location"))
	}
	for at != "" {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause(a.header)):
		}
		var err error
		if a, err = r.do(ctx, http.MethodGet, at, nil); err != nil {
			return err
		}
		tell(stepOf(a.body))
		switch status := str(a.body["status"]); {
		case byLocation && a.status != http.StatusAccepted, status == "Succeeded":
			return nil
		case status == "Failed", status == "Canceled":
			return a.failure(status)
		}
	}
	return nil
}

// failure is why an operation ended badly.
func (a answer) failure(status string) error {
	if e, _ := a.body["error"].(map[string]any); str(e["message"]) != "" {
		return fault.New(fault.Unavailable, "("+str(e["code"])+") "+str(e["message"]))
	}
	return fault.New(fault.Unavailable, "the operation ended as "+status)
}

// pause is how long the API wants to be left alone.
func pause(h http.Header) time.Duration {
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s >= 0 {
		return min(time.Duration(s)*time.Second, time.Minute)
	}
	return 2 * time.Second
}

// stepOf is what an operation is at.
func stepOf(body map[string]any) string {
	properties, _ := body["properties"].(map[string]any)
	steps, _ := properties[operationSteps].([]any)
	for _, s := range slices.Backward(steps) {
		s, _ := s.(map[string]any)
		if status := str(s["status"]); status == "InProgress" || status == "Failed" {
			return strings.TrimSuffix(str(s["name"])+": "+str(s["detail"]), ": ")
		}
	}
	return ""
}

// flat is a resource as `az` shows it: properties stand beside id and name, and
// the resource group is a column.
func flat(resource map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range resource {
		if properties, ok := v.(map[string]any); ok && key == "properties" {
			for key, v := range properties {
				out[key] = v
			}
			continue
		}
		out[key] = v
	}
	if group := groupOf(str(resource["id"])); group != "" {
		out["resourceGroup"] = group
	}
	return out
}

func flatAll(list []any) []any {
	out := make([]any, len(list))
	for i, x := range list {
		resource, _ := x.(map[string]any)
		out[i] = flat(resource)
	}
	return out
}

// groupOf is the resource group in an ID.
func groupOf(id string) string {
	parts := strings.Split(id, "/")
	for i, p := range parts {
		if strings.EqualFold(p, "resourceGroups") && i+1 < len(parts) {
			return parts[i+1]
		}
	}
	return ""
}
