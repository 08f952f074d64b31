package login

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
)

// devicecode gives a program without a browser a code for the person who runs
// it (RFC 8628 §3.1).
func (e *endpoint) devicecode(w http.ResponseWriter, r *http.Request, a asked) {
	if !e.form(w, r, a) {
		return
	}
	id := r.PostForm.Get("client_id")
	if id == "" || len(id) > maxID {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'."})
		return
	}
	p, err := e.Directory.Program(r.Context(), a.home, id)
	switch {
	case errors.Is(err, directory.ErrUnknown):
		e.refuse(w, a, e.noClient(a, id))
		return
	case err != nil:
		e.fail(w, a, err)
		return
	case !p.Public:
		e.refuse(w, a, refusal{http.StatusUnauthorized, "invalid_client", 7000218, "The application is not one for the device code flow: allow public client flows in its registration."})
		return
	}
	scope := r.PostForm.Get("scope")
	if res := r.PostForm.Get("resource"); res != "" {
		scope = strings.TrimSpace(scope + " " + res + "/.default")
	}
	if _, no, ok := e.wish(r.Context(), a, scope, ""); !ok {
		e.refuse(w, a, no)
		return
	}
	from := source(r.RemoteAddr)
	if wait := e.devices.wait(from, "", time.Now()); wait > 0 {
		w.Header().Set("Retry-After", seconds(wait))
		e.refuse(w, a, refusal{http.StatusTooManyRequests, "slow_down", 50196, "Too many device codes were asked for from this address. Wait " + seconds(wait) + " seconds."})
		return
	}
	e.devices.bad(from, "", time.Now()) // each is counted
	d, err := e.Directory.BeginDevice(r.Context(), p.AppID, scope, from)
	if err != nil {
		e.fail(w, a, err)
		return
	}
	at := e.URL + "/" + url.PathEscape(a.written) + "/device"
	life, pause := int(d.Life.Seconds()), int(d.Pause.Seconds())
	body := map[string]any{
		"device_code": string(d.Code), "user_code": string(d.UserCode), "verification_uri": at, "expires_in": life, "interval": pause,
		"message": "To sign in, use a web browser to open the page " + at + " and enter the code " + string(d.UserCode) + " to authenticate.",
	}
	if !a.v2 {
		body["verification_url"], body["expires_in"], body["interval"] = at, itoa(life), itoa(pause)
	}
	w.Header().Set("Cache-Control", "no-store")
	write(w, http.StatusOK, body)
}

// device is where a person types the code.
func (e *endpoint) device(v *visit) {
	if !v.whole() {
		// The code stays with whoever typed it: a link that carries one signs in
		// a program that somebody else has started.
		e.to(v, v.at("signin", url.Values{"back": {v.at("device", nil)}}))
		return
	}
	if v.r.Method != http.MethodPost {
		e.askCode(v, http.StatusOK, view{})
		return
	}
	if !e.ours(v) {
		return
	}
	f := v.r.PostForm
	code := clean(strings.ToUpper(strings.TrimSpace(f.Get("user_code"))))
	request, err := e.Directory.Device(v.r.Context(), v.token, code)
	var program directory.Program
	var wish directory.Wish
	var st directory.Standing
	if err == nil {
		program, err = e.Directory.Program(v.r.Context(), v.home, request.Client)
	}
	if err == nil {
		var no refusal
		var ok bool
		if wish, no, ok = e.wish(v.r.Context(), v.asked, request.Scope, ""); !ok {
			err = fault.New(fault.Invalid, no.say())
		}
	}
	if err == nil {
		st, err = e.Directory.Weigh(v.r.Context(), v.home, program, v.session.User.ID, wish)
	}
	held, isHeld := errors.AsType[*directory.HeldError](err)
	switch {
	case isHeld:
		e.wait(v, held.Wait, func(p view) { p.Code = code; e.askCode(v, http.StatusTooManyRequests, p) })
	case errors.Is(err, directory.ErrCode), errors.Is(err, directory.ErrUnknown):
		e.Directory.Count(directory.Attempt{Action: directory.PersonSignsIn, By: v.session.Caller(), Source: source(v.r.RemoteAddr), Refused: "wrong device code"})
		e.askCode(v, http.StatusNotFound, view{Code: code, Problem: "There is no such code, or it is too old: codes are good for a quarter of an hour."})
	case errors.Is(err, directory.ErrScope):
		e.stop(v, http.StatusForbidden, "That program may not do this", program.Name+" may not act for users at "+clean(wish.Audience)+".")
	case err != nil:
		e.broken(v, err)
	case f.Get("answer") == "":
		e.confirm(v, request, program, wish, st, code)
	default:
		e.decide(v, request, program, wish, st, code)
	}
}

func (e *endpoint) askCode(v *visit, status int, p view) {
	p.Title, p.Action = "Enter the code", v.at("device", nil)
	e.show(v, status, "device", p)
}

// confirm asks whether the person has started the program.
func (e *endpoint) confirm(v *visit, r directory.DeviceRequest, p directory.Program, w directory.Wish, st directory.Standing, code string) {
	admin, err := e.administers(v)
	if err != nil {
		e.broken(v, err)
		return
	}
	if st.Admin && !admin {
		e.needsAdministrator(v, p)
		return
	}
	e.show(v, http.StatusOK, "confirm", view{
		Title: "Sign in to a program", Wide: true, App: p.Name, Code: code, Source: r.Source, At: r.Created.UTC().Format("15:04:05 MST"), Action: v.at("device", nil),
		Permissions: inWords(st.Missing), MayAll: admin && len(st.Missing) > 0,
	})
}

// decide carries out what the person has said.
func (e *endpoint) decide(v *visit, r directory.DeviceRequest, p directory.Program, w directory.Wish, st directory.Standing, code string) {
	yes := v.r.PostForm.Get("answer") == "yes"
	if yes && len(st.Missing) > 0 {
		err := e.allow(v, p, w, v.r.PostForm.Get("all") == "1")
		if fault.Of(err) == fault.Denied && err != nil {
			e.needsAdministrator(v, p)
			return
		}
		if err != nil {
			e.broken(v, err)
			return
		}
	}
	if err := e.Directory.AnswerDevice(v.r.Context(), v.token, code, yes); err != nil {
		e.broken(v, err)
		return
	}
	e.Log.Info("a device code was answered", "client", p.AppID, "name", p.Name, "allowed", yes, "user", v.session.User.Name, "asked_from", r.Source, "from", source(v.r.RemoteAddr), "request", v.id)
	if !yes {
		e.noConsent(v, p, "declined")
		e.stop(v, http.StatusOK, "Cancelled", p.Name+" was told that you do not want this.")
		return
	}
	e.show(v, http.StatusOK, "done", view{Title: "You are signed in", Text: "Go back to " + p.Name + ". You can close this page."})
}
