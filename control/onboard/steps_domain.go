package onboard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
)

// The gateway's domain in the tenant: registered, shown by a TXT record,
// verified.

// text is the record by which the directory knows who owns the domain, and
// whether it has been verified. fault.NotFound: it is not registered.
func (w *World) text(ctx context.Context) (d entra.Domain, record entra.Record, err error) {
	dir, err := w.directory()
	if err != nil {
		return d, record, err
	}
	if w.Base == "" {
		return d, record, fault.New(fault.Conflict, "The gateway has no domain yet")
	}
	if d, err = dir.Domain(ctx, w.Base); err != nil {
		return d, record, err
	}
	all, err := dir.VerificationRecords(ctx, w.Base)
	if err != nil {
		return d, record, err
	}
	i := slices.IndexFunc(all, func(r entra.Record) bool { return strings.EqualFold(r.Type, "Txt") && r.Text != "" })
	if i < 0 {
		return d, record, fault.New(fault.Unavailable, "The directory does not say by which TXT record "+w.Base+" is verified")
	}
	record = all[i]
	if record.Label = strings.TrimSuffix(record.Label, "."); record.Label == "" || record.Label == "@" {
		record.Label = w.Base
	}
	return d, record, nil
}

// shown tells whether others find the record. That nobody could tell is an
// error, and not that it is gone.
func (w *World) shown(ctx context.Context, r entra.Record) (bool, error) {
	if w.Names != nil {
		found, err := w.Names.LookupTXT(ctx, r.Label)
		return slices.Contains(found, r.Text), unlessNone(err)
	}
	return w.Zone != nil && w.Zone.Visible(ctx, r.Label, r.Text) == nil, nil
}

// unlessNone is the error of a look into the DNS, but that there is no such
// name or record.
func unlessNone(err error) error {
	if none, ok := errors.AsType[*net.DNSError](err); err == nil || ok && none.IsNotFound {
		return nil
	}
	return &fault.Error{Kind: fault.Unavailable, Public: "The DNS did not answer", Err: err}
}

// above is the verified domain of the tenant that a name is below: such a name
// needs no record of its own (Microsoft Entra docs, "Manage custom domain
// names": subdomains).
func (w *World) above(ctx context.Context, name string) (string, error) {
	all, err := w.Directory.Domains(ctx)
	for _, d := range all {
		if d.Verified && strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(d.ID)) {
			return d.ID, nil
		}
	}
	return "", err
}

func checkDomain(ctx context.Context, w *World) (Finding, error) {
	d, r, err := w.text(ctx)
	switch {
	case fault.Of(err) == fault.NotFound:
		return Missing(w.Base + " is not registered in the tenant"), nil
	case err != nil:
		return Finding{}, err
	}
	shown := []Evidence{Is("domain", d.ID), Is("TXT record", r.Label+" "+r.Text)}
	seen, err := w.shown(ctx, r)
	if err != nil {
		return Finding{}, err
	}
	above := ""
	if d.Verified && !seen {
		if above, err = w.above(ctx, d.ID); err != nil {
			return Finding{}, err
		}
	}
	switch {
	case above != "":
		return Found(d.ID+" is verified, since "+above+" is", Is("domain", d.ID), Is("verified with", above)), nil
	case d.Verified && seen:
		return Found(d.ID+" is verified", shown...), nil
	case d.Verified && w.Zone != nil:
		return Missing(d.ID+" is verified, and its TXT record is no longer in the DNS", shown...), nil
	case d.Verified:
		return Ask(OnboardingTeam, d.ID+" is verified, and its TXT record is no longer in the DNS: put it back", shown...), nil
	case !seen && w.Zone == nil && w.asked("B23"):
		return Await("The TXT record has been handed over, and is not in the DNS yet", shown...), nil
	case !seen && w.Zone == nil:
		return Ask(You, "The TXT record is not in the DNS: hand it over", shown...), nil
	case !seen:
		return Missing(d.ID+" is registered, and its TXT record is not in the DNS", shown...), nil
	}
	return Missing("The TXT record is in the DNS, and "+d.ID+" is not verified", shown...), nil
}

// verifyDomain registers the domain, shows the record where the zone is ours,
// and has the directory look. Not before others can see the record: a directory
// remembers a name that was not there.
func verifyDomain(ctx context.Context, w *World) error {
	d, r, err := w.text(ctx)
	if fault.Of(err) == fault.NotFound {
		if _, err = w.Directory.AddDomain(ctx, w.Base); err != nil {
			return err
		}
		d, r, err = w.text(ctx)
	}
	if err != nil {
		return err
	}
	if w.Zone != nil {
		if err := w.Zone.AddText(ctx, r.Label, r.Text); err != nil {
			return err
		}
		if err := w.Zone.Visible(ctx, r.Label, r.Text); err != nil {
			return fmt.Errorf("show the TXT record: %w", err)
		}
	}
	if d.Verified {
		return nil
	}
	if seen, err := w.shown(ctx, r); err != nil || !seen {
		return err // what is left, the check says
	}
	_, err = w.Directory.VerifyDomain(ctx, w.Base)
	return err
}

func willVerifyDomain(w *World) string {
	if w.Zone == nil {
		return "registers " + w.Base + " in the tenant, and has it verified once its TXT record is in the DNS"
	}
	return "registers " + w.Base + " in the tenant, shows its TXT record in our zone, and has it verified"
}

func draftText(ctx context.Context, w *World) ([]Draft, error) {
	d, r, err := w.text(ctx)
	switch {
	case fault.Of(err) == fault.NotFound, fault.Of(err) == fault.Conflict:
		return nil, nil // there is nothing to hand over yet
	case err != nil:
		return nil, err
	case w.Zone != nil:
		return nil, nil // our zone shows it
	}
	if d.Verified {
		if seen, err := w.shown(ctx, r); err != nil || seen {
			return nil, err
		}
	}
	return []Draft{w.letter("DNS TXT record for "+w.Base, fmt.Sprintf("please add this record to the zone of the gateway's domain, and confirm it:\n\n  %s. %d IN TXT %q\n", r.Label, max(r.TTL, 3600), r.Text))}, nil
}

func instructDomain(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	i := Instruction{Text: "Add the domain " + w.Base + " to the tenant as a custom domain name", Command: w.command("apply --outside")}
	if _, r, err := w.text(ctx); err == nil {
		i.Text, i.Command = "Hand this record over, and wait until it is in the DNS; then apply again", w.command("show B23")
		i.Paste = fmt.Sprintf("%s. %d IN TXT %q", r.Label, max(r.TTL, 3600), r.Text)
	}
	return i
}
