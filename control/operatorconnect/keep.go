package operatorconnect

import (
	"context"
	"slices"
	"strings"
)

// Kept is what a gateway has at Operator Connect: a trunk for each of its
// regions, and one calling profile that goes over all of them.
type Kept struct {
	Gateway   string       // its name
	Region    string       // in which it is managed
	Trunks    []TrunkDraft // enabled
	Offers    []string     // "Calling", "TeamsPhoneMobile"
	Emergency []string     // dial strings
}

// Offers are the services that go by Operator Connect, and what they are called
// there.
var Offers = map[string]string{"OperatorConnect": "Calling", "TeamsPhoneMobile": "TeamsPhoneMobile"}

// Keep makes what is missing of it, as the gateway that manages it (Azure
// Communications Gateway docs, "Connect Azure Communications Gateway to
// Operator Connect or Teams Phone Mobile": "We manage this configuration for
// you"). What is there stays as it is, whoever changed it: that it was changed
// is for the check of onboarding to tell. made are the names of what was made.
func (c *Client) Keep(ctx context.Context, k Kept) (made []string, err error) {
	trunks, err := c.Trunks(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, want := range k.Trunks {
		i := slices.IndexFunc(trunks, func(t Trunk) bool { return strings.EqualFold(strings.TrimSuffix(t.FQDN, "."), want.FQDN) })
		if i >= 0 {
			ids = append(ids, trunks[i].ID)
			continue
		}
		t, err := c.CreateTrunk(ctx, want)
		if err != nil {
			return made, err
		}
		ids, made = append(ids, t.ID), append(made, "trunk "+t.FQDN)
	}
	name, err := c.keepProfile(ctx, k, ids)
	if name != "" {
		made = append(made, name)
	}
	return made, err
}

// keepProfile makes the calling profile, or adds trunks and offers that it
// lacks.
func (c *Client) keepProfile(ctx context.Context, k Kept, trunks []string) (made string, err error) {
	profiles, err := c.Profiles(ctx)
	if err != nil || len(trunks) == 0 {
		return "", err
	}
	i := slices.IndexFunc(profiles, func(p Profile) bool {
		return strings.EqualFold(p.Name, k.Gateway) && strings.EqualFold(p.NameSuffix, NameSuffix)
	})
	if i < 0 {
		d := ProfileDraft{Name: k.Gateway, NameSuffix: NameSuffix, Region: k.Region, EmergencyDialStrings: k.Emergency, TrunkIDs: trunks}
		for _, offer := range k.Offers {
			d.OfferTypes = append(d.OfferTypes, OfferType{Name: offer})
		}
		if _, err := c.CreateProfile(ctx, d); err != nil {
			return "", err
		}
		return "calling profile " + k.Gateway + NameSuffix, nil
	}
	d := profiles[i].Draft()
	var added []string
	for _, id := range trunks {
		if !slices.Contains(d.TrunkIDs, id) {
			d.TrunkIDs, added = append(d.TrunkIDs, id), []string{"trunks"}
		}
	}
	for _, offer := range k.Offers {
		if !slices.ContainsFunc(d.OfferTypes, func(o OfferType) bool { return o.Name == offer }) {
			d.OfferTypes, added = append(slices.Clip(d.OfferTypes), OfferType{Name: offer}), append(added, "offer "+offer)
		}
	}
	if len(added) == 0 {
		return "", nil
	}
	if _, err := c.ReplaceProfile(ctx, Edit{ID: profiles[i].ID, ETag: profiles[i].ETag}, d); err != nil {
		return "", err
	}
	return strings.Join(added, ", ") + " of the calling profile " + k.Gateway + NameSuffix, nil
}
