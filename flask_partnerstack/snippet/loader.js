(function (o) {
  "use strict";
  var d = document, w = window, inline = d.currentScript;
  if (d.querySelector("script[data-partnerstack]")) return;
  function fail(what, error) {
    if (w.console) console.error("PartnerStackJS: " + what, error || "");
  }
  function alias(data, name, other) {
    if (name in data || !(other in data)) return;
    Object.defineProperty(data, name, {
      configurable: true, enumerable: true,
      get: function () { return data[other]; },
      set: function (value) { data[other] = value; }
    });
  }
  function hand_over(g) {
    g.data = g.data || {};
    for (var name in o.referral) g.data[name] = o.referral[name];
    if (!("partner_key" in g.data) && !("ps_partner_key" in g.data)) g.data.partner_key = undefined;
    alias(g.data, "ps_partner_key", "partner_key");
    alias(g.data, "partner_key", "ps_partner_key");
  }
  function watch(g) {
    var create = g.createSignup;
    g.createSignup = function () {
      console.warn("growsumo.createSignup() was called, but the server reports signups: this one is reported twice, perhaps with two customer keys. Remove the call.");
      return create && create.apply(this, arguments);
    };
  }
  function trusted(url) {
    try {
      return w.trustedTypes.createPolicy("partnerstack", {createScriptURL: String}).createScriptURL(url);
    } catch (error) {
      return url;
    }
  }
  var called = false;
  function call_init() {
    if (called || typeof w.growsumoInit !== "function") return;
    called = true;
    w.growsumoInit();
  }
  var s = d.createElement("script");
  s.async = true;
  s.src = trusted(o.src);
  s.setAttribute("data-partnerstack", "");
  if (inline && inline.nonce) s.nonce = inline.nonce;
  s.onerror = function () {
    fail("the script could not be loaded from " + o.src + ": blocked, or not in the policy's script-src.");
  };
  s.onload = function () {
    try {
      var g = w.growsumo;
      if (!g || !g._initialize) throw new Error("it set no growsumo object");
      g._initialize(o.key);
      hand_over(g);
      if (o.debug) watch(g);
    } catch (error) {
      return fail("the script was loaded from " + o.src + " and could not be started.", error);
    }
    d.addEventListener("DOMContentLoaded", call_init);
    w.addEventListener("load", call_init);
    call_init();
  };
  (d.head || d.documentElement).appendChild(s);
})
