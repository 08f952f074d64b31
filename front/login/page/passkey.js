"use strict";
// A form with data-passkey asks the browser's authenticator and sends what it
// answers in the field "response". Without this script the forms beside it work.
(() => {
  const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list || []).map((c) => ({ ...c, id: bytes(c.id) }));
  const ask = {
    async get(o) {
      const p = o.publicKey;
      const c = await navigator.credentials.get({ publicKey: { ...p, challenge: bytes(p.challenge), allowCredentials: known(p.allowCredentials) } });
      const r = c.response;
      return { id: c.id, rawId: text(c.rawId), type: c.type, response: {
        clientDataJSON: text(r.clientDataJSON), authenticatorData: text(r.authenticatorData), signature: text(r.signature),
        userHandle: r.userHandle ? text(r.userHandle) : undefined } };
    },
    async create(o) {
      const p = o.publicKey;
      const c = await navigator.credentials.create({ publicKey: { ...p, challenge: bytes(p.challenge), user: { ...p.user, id: bytes(p.user.id) },
        excludeCredentials: known(p.excludeCredentials) } });
      const r = c.response;
      return { id: c.id, rawId: text(c.rawId), type: c.type, response: {
        clientDataJSON: text(r.clientDataJSON), attestationObject: text(r.attestationObject), transports: r.getTransports ? r.getTransports() : [] } };
    },
  };
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const button = form.querySelector("button"), says = form.querySelector("[role=status]");
    if (!window.PublicKeyCredential) {
      says.textContent = "This browser has no passkeys.";
      button.disabled = true;
      continue;
    }
    form.addEventListener("submit", async (event) => {
      if (form.elements.response.value) return;
      event.preventDefault();
      button.disabled = true;
      says.textContent = "Waiting for your passkey…";
      try {
        form.elements.response.value = JSON.stringify(await ask[form.dataset.passkey](JSON.parse(form.dataset.options)));
        form.submit();
      } catch (e) {
        button.disabled = false;
        says.textContent = e.name === "InvalidStateError" ? "This passkey is one of yours already." : "No passkey was used. You can try again.";
      }
    });
  }
})();
