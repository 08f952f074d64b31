package graph_test

import (
	"fmt"
	"testing"

	"github.com/tandemgw/tandem/control/directory"
)

// BenchmarkFind is the search for one service principal in a tenant of a
// thousand registrations, as the PowerShell script and azure-cli search: by
// client ID and by name.
func BenchmarkFind(b *testing.B) {
	w := newWorld(b)
	admin := w.admin()
	appID := ""
	for i := range 1000 {
		a, err := w.directory.CreateApplication(b.Context(), w.ours, directory.Application{DisplayName: fmt.Sprintf("application %d", i)})
		w.must(err)
		appID = w.principal(a.AppID).AppID
	}
	for name, path := range map[string]string{
		"ByAppID": "/servicePrincipals?$filter=appId eq '" + appID + "'", "ByName": "/servicePrincipals?$filter=displayName eq 'application 999'", "Registration": "/applications?$filter=appId eq '" + appID + "'",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if got := len(w.ask(admin, "GET", path, nil).list()); got != 1 {
					b.Fatalf("%d found", got)
				}
			}
		})
	}
}
