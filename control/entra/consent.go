package entra

import "net/url"

// ConsentURL is where an administrator of the tenant consents to what an
// application asks for (Microsoft identity platform docs, "Admin consent on
// the Microsoft identity platform"). redirect may be "".
func (c *Client) ConsentURL(client, redirect, state string) string {
	q := url.Values{"client_id": {client}}
	if redirect != "" {
		q.Set("redirect_uri", redirect)
	}
	if state != "" {
		q.Set("state", state)
	}
	return c.Login + "/" + url.PathEscape(c.Tenant) + "/adminconsent?" + q.Encode()
}
