package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// optionValues are the flags of a resource as they were given.
type optionValues struct {
	cmd     *cobra.Command
	options []option
	given   map[string]*[]string // by flag
}

// flags adds the flags that make a resource.
func (c resourceCommand) flags(cmd *cobra.Command) optionValues {
	v := optionValues{cmd, append(slices.Clone(c.kind.options), option{"tags", "tags", 'o', "a=b c=d, or {a:b,c:d}"}), map[string]*[]string{}}
	for _, o := range v.options {
		v.given[o.flag] = &[]string{}
		cmd.Flags().Var(given{v.given[o.flag], o.kind}, o.flag, o.usage)
	}
	return v
}

// given keeps the words of a flag, and tells help what kind they are.
type given struct {
	words *[]string
	kind  byte
}

// Set takes one word.
func (g given) Set(word string) error { *g.words = append(*g.words, word); return nil }

// String is what was given.
func (g given) String() string {
	if g.words == nil {
		return ""
	}
	return strings.Join(*g.words, " ")
}

// Type is the kind in a word.
func (g given) Type() string {
	return map[byte]string{'s': "text", 'b': "true|false", 'l': "list", 'o': "object"}[g.kind]
}

// into writes what was given into a resource.
func (v optionValues) into(resource map[string]any) error {
	for _, o := range v.options {
		if !v.cmd.Flags().Changed(o.flag) {
			continue
		}
		value, err := o.value(*v.given[o.flag])
		if err != nil {
			return fmt.Errorf("--%s: %w", o.flag, err)
		}
		parts := strings.Split(o.path, ".")
		at := resource
		for _, p := range parts[:len(parts)-1] {
			next, ok := at[p].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[p] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = value
	}
	return nil
}

// value is what an option's words mean.
func (o option) value(words []string) (any, error) {
	switch o.kind {
	case 's':
		return words[len(words)-1], nil
	case 'b':
		return truth(words[len(words)-1])
	case 'o':
		return objectOf(words)
	}
	var list []any
	for _, w := range words {
		v, err := shorthand(w)
		if err != nil {
			return nil, err
		}
		if items, ok := v.([]any); ok {
			list = append(list, items...)
		} else if v != nil {
			list = append(list, v)
		}
	}
	return loosely(list, propertyNames), nil
}

// objectOf reads {a:b}, or a=b of several words.
func objectOf(words []string) (any, error) {
	object := map[string]any{}
	for _, w := range words {
		if key, value, ok := strings.Cut(w, "="); ok && !strings.ContainsAny(key, "{[@'\"") {
			v, err := shorthand(value)
			if err != nil {
				return nil, err
			}
			object[key] = v
			continue
		}
		v, err := shorthand(w)
		if err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case nil:
			return nil, nil
		case map[string]any:
			for key, x := range v {
				object[key] = x
			}
		case string:
			if v != "" {
				return nil, usagef("%q: write a=b, or {a:b}", w)
			}
		default:
			return nil, usagef("%q: write a=b, or {a:b}", w)
		}
	}
	return loosely(object, propertyNames), nil
}

func truth(word string) (any, error) {
	switch strings.ToLower(word) {
	case "true", "t", "yes", "y", "1":
		return true, nil
	case "false", "f", "no", "n", "0":
		return false, nil
	}
	return nil, usagef("%q: write true or false", word)
}

// propertyNames are the names below the properties that are lists or objects.
var propertyNames = []string{
	"primaryRegionProperties", "operatorAddresses", "esrpAddresses", "allowedSignalingSourceAddressPrefixes", "allowedMediaSourceAddressPrefixes",
	"configureApiBridge", "allowedAddressPrefixes", "delegations", "headers", "region", "testLines", "phoneNumber",
	"peerGroupName", "signalingProtocol", "mediaProtocol", "codecs", "peers", "peerName", "peerType", "ipsAndPorts", "ipAddress", "port",
	"aRecordsAndPorts", "aRecord", "srvRecord", "defaultMappings", "peerGroupToService", "serviceToPeerGroup", "peerGroup", "defaultService",
	"service", "defaultPeerGroup", "peerGroupRoutings", "routings", "serviceLocation", "priority",
}

// A part of a resource is named by names and indices: properties.codecs[0].
var part = regexp.MustCompile(`^([^.\[\]]+)|^\.([^.\[\]]+)|^\[(\d+)\]`)

// steps of a path; a name that the resource lacks and its properties have is
// looked for there, since that is how `az` shows it.
func steps(resource map[string]any, path string) ([]any, error) {
	var out []any
	for rest := path; rest != ""; {
		m := part.FindStringSubmatch(rest)
		if m == nil || m[3] != "" && out == nil {
			return nil, usagef("%q is no path: write names with dots between them, such as tags.stage or properties.codecs[0]", path)
		}
		rest = rest[len(m[0]):]
		if m[3] != "" {
			i, err := strconv.Atoi(m[3])
			if err != nil {
				return nil, usagef("%q: %s is too large", path, m[3])
			}
			out = append(out, i)
			continue
		}
		out = append(out, m[1]+m[2])
	}
	if len(out) == 0 {
		return nil, usagef("the path is empty: name a part, such as tags.stage")
	}
	first, _ := out[0].(string)
	if _, top := resource[first]; !top && !slices.Contains([]string{"tags", "identity", "sku", "location"}, first) {
		out = append([]any{"properties"}, out...)
	}
	return out, nil
}

// at walks to the part before the last step; objects that are missing on the
// way are made.
func at(resource map[string]any, path string) (owner any, last any, err error) {
	way, err := steps(resource, path)
	if err != nil {
		return nil, nil, err
	}
	owner = resource
	for _, step := range way[:len(way)-1] {
		next := child(owner, step)
		object, isObject := owner.(map[string]any)
		if name, ok := step.(string); next == nil && isObject && ok {
			next = map[string]any{}
			object[name] = next
		}
		if next == nil {
			return nil, nil, usagef("%q: there is no %v in the resource", path, step)
		}
		owner = next
	}
	return owner, way[len(way)-1], nil
}

func child(owner, step any) any {
	switch owner := owner.(type) {
	case map[string]any:
		name, _ := step.(string)
		return owner[name]
	case []any:
		if i, ok := step.(int); ok && i < len(owner) {
			return owner[i]
		}
	}
	return nil
}

// setParts carries out --set.
func setParts(resource map[string]any, words []string) error {
	for _, w := range words {
		path, text, ok := strings.Cut(w, "=")
		if !ok {
			return usagef("--set %q: write PATH=VALUE", w)
		}
		value, err := scalarOr(text)
		if err != nil {
			return fmt.Errorf("--set: %w", err)
		}
		owner, last, err := at(resource, path)
		if err != nil {
			return fmt.Errorf("--set: %w", err)
		}
		if !replaceIn(owner, last, value) {
			return usagef("--set %q: there is no such part in the resource", path)
		}
	}
	return nil
}

// scalarOr reads true, false, and what shorthand reads.
func scalarOr(text string) (any, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	v, err := shorthand(text)
	return loosely(v, propertyNames), err
}

func replaceIn(owner, last, value any) bool {
	switch owner := owner.(type) {
	case map[string]any:
		name, ok := last.(string)
		if ok {
			owner[name] = value
		}
		return ok
	case []any:
		i, ok := last.(int)
		if ok && i < len(owner) {
			owner[i] = value
			return true
		}
	}
	return false
}

// addParts carries out --add PATH VALUE…: the first word is the path.
func addParts(resource map[string]any, words []string) error {
	if len(words) == 0 {
		return nil
	}
	if len(words) == 1 {
		return usagef("--add %q: write PATH VALUE", words[0])
	}
	owner, last, err := at(resource, words[0])
	if err != nil {
		return fmt.Errorf("--add: %w", err)
	}
	list, ok := child(owner, last).([]any)
	if !ok && child(owner, last) != nil {
		return usagef("--add %q: that is no list", words[0])
	}
	for _, w := range words[1:] {
		v, err := scalarOr(w)
		if err != nil {
			return fmt.Errorf("--add: %w", err)
		}
		list = append(list, v)
	}
	if !replaceIn(owner, last, list) {
		return usagef("--add %q: there is no such list in the resource", words[0])
	}
	return nil
}

// removeParts carries out --remove PATH [INDEX].
func removeParts(resource map[string]any, words []string) error {
	if len(words) == 0 {
		return nil
	}
	owner, last, err := at(resource, words[0])
	if err != nil {
		return fmt.Errorf("--remove: %w", err)
	}
	if len(words) == 1 {
		object, ok := owner.(map[string]any)
		name, _ := last.(string)
		if _, there := object[name]; !ok || !there {
			return usagef("--remove %q: there is no such part in the resource", words[0])
		}
		delete(object, name)
		return nil
	}
	list, ok := child(owner, last).([]any)
	i, err := strconv.Atoi(words[1])
	if !ok || err != nil || i < 0 || i >= len(list) || len(words) > 2 {
		return usagef("--remove %s: that list has no item %s", words[0], strings.Join(words[1:], " "))
	}
	replaceIn(owner, last, slices.Delete(list, i, i+1))
	return nil
}
