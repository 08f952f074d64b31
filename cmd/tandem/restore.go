package main

import (
	"context"
	"io"

	"github.com/tandemgw/tandem/app"
	"github.com/tandemgw/tandem/front/ops"
)

// restore puts an archive into the data folder that a configuration names.
func restore(ctx context.Context, config string, archive io.Reader) (ops.Manifest, error) {
	cfg, err := app.LoadConfig(config)
	if err != nil {
		return ops.Manifest{}, err
	}
	return app.Restore(ctx, cfg, archive)
}
