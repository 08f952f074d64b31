package arm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/front/door"
)

// version is an api-version of Microsoft.VoiceServices; a later one is larger.
type version int

// Every version there was, the first seed's in front.
const (
	v20221201p version = iota
	v20230131
	v20230301p
	v20230403
	v20230713p
	v20230901
	v20230921
	v20240205p
	v20240216p
)

var versions = []string{
	"2022-12-01-preview", "2023-01-31", "2023-03-01-preview", "2023-04-03", "2023-07-13-preview",
	"2023-09-01", "2023-09-21", "2024-02-05-preview", "2024-02-16-preview",
}

// String is the version as it stands in a URL.
func (v version) String() string { return versions[v] }

// voiceVersion reads api-version of a request for our own resources.
func voiceVersion(s, kind string) (version, error) {
	i := slices.IndexFunc(versions, func(v string) bool { return strings.EqualFold(v, s) })
	switch {
	case s == "":
		return 0, missingVersion(versions)
	case i < 0:
		return 0, &failure{Status: 400, Code: "InvalidApiVersionParameter", Target: "api-version", Message: fmt.Sprintf(
			"The api-version '%s' is invalid for resource type '%s'. The supported versions are '%s'.", door.Printable(s), kind, strings.Join(versions, ", "))}
	}
	return version(i), nil
}

// platformVersions are the ones we name for the resources of Azure Resource
// Manager itself, whose shapes have been the same since long before us; any
// other date is accepted.
var platformVersions = []string{"2014-04-01", "2015-01-01", "2016-06-01", "2018-01-01", "2019-11-01", "2020-06-01", "2021-04-01", "2022-04-01", "2022-09-01", "2022-12-01", "2024-03-01"}

var dated = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(-(preview|alpha|beta|privatepreview))?$`)

// platformVersion checks api-version of a request for everything else.
func platformVersion(s string) error {
	if s == "" {
		return missingVersion(platformVersions)
	}
	if m := dated.FindStringSubmatch(strings.ToLower(s)); m != nil {
		if day, err := time.Parse(time.DateOnly, m[1]); err == nil && day.Year() >= 2014 && day.Year() < 2100 {
			return nil
		}
	}
	return &failure{Status: 400, Code: "InvalidApiVersionParameter", Target: "api-version", Message: fmt.Sprintf(
		"The api-version '%s' is invalid: write a date. Among the supported versions are '%s'.", door.Printable(s), strings.Join(platformVersions, ", "))}
}

func missingVersion(known []string) error {
	return &failure{Status: 400, Code: "MissingApiVersionParameter", Target: "api-version", Message: fmt.Sprintf(
		"The api-version query parameter (?api-version=) is required for all requests. The supported versions are '%s'.", strings.Join(known, ", "))}
}
