package record

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tandemgw/tandem/control/store"
	link "github.com/tandemgw/tandem/link/record"
)

// Regions is the calls of a deployment whose management regions may keep those
// of their gateways apart, in a store of their own.
type Regions struct {
	own   *Set
	apart map[string]*Set // RO: by management region
	where func(ctx context.Context, gateway string) (region string, err error)
}

// Split makes it out of the deployment's own store and those of regions. Where
// tells the management region of a gateway by its ID; "" of one that is not
// there any more, whose late records go to the deployment's own.
func Split(own *store.Store, apart map[string]*store.Store, where func(ctx context.Context, gateway string) (string, error)) *Regions {
	r := &Regions{own: New(own), apart: map[string]*Set{}, where: where}
	for region, s := range apart {
		r.apart[region] = New(s)
	}
	return r
}

// Keep writes entries, each where its gateway's are kept. When it returns nil
// they are on the disk; otherwise some may be, and all come again.
func (r *Regions) Keep(ctx context.Context, entries []link.Entry) error {
	if len(r.apart) == 0 {
		return r.own.Keep(ctx, entries)
	}
	parts, regions := map[*Set][]link.Entry{}, map[string]string{}
	for _, e := range entries {
		region, known := regions[e.Call.Gateway]
		if !known && e.Call.Gateway != "" {
			var err error
			if region, err = r.where(ctx, e.Call.Gateway); err != nil {
				return err
			}
			regions[e.Call.Gateway] = region
		}
		set := cmp.Or(r.apart[region], r.own)
		parts[set] = append(parts[set], e)
	}
	for set, some := range parts {
		if err := set.Keep(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// List gives the calls of all regions that match, newest first.
func (r *Regions) List(ctx context.Context, f link.Filter) (all []link.Call, err error) {
	for _, set := range r.sets() {
		some, err := set.List(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b link.Call) int { return cmp.Or(b.Began.Compare(a.Began), cmp.Compare(b.ID, a.ID)) })
	return all[:min(len(all), cmp.Or(f.Limit, 100))], nil
}

// Trim deletes the calls that began before a time, and tells how many those
// were. What fails in one region does not keep the others from it.
func (r *Regions) Trim(ctx context.Context, before time.Time) (total int64, err error) {
	var failed []error
	for _, set := range r.sets() {
		n, err := set.Trim(ctx, before)
		total += n
		failed = append(failed, err)
	}
	return total, errors.Join(failed...)
}

func (r *Regions) sets() []*Set {
	all := []*Set{r.own}
	for _, set := range r.apart {
		all = append(all, set)
	}
	return all
}
