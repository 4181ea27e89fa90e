// A stand-in for PartnerStackJS: the cookies and the object that pages see, and nothing more.
(function () {
  "use strict";
  var origin = new URL(document.currentScript.src).origin;
  var DAYS = 90;
  var STORED = "partnerstack";

  function parameters() {
    var query = new URLSearchParams(location.search);
    var xid = query.get("ps_xid") || query.get("gsxid");
    var key = query.get("ps_partner_key") || query.get("gspk");
    return xid && { xid: xid, partner_key: key && decoded(key), link_domain: query.get("pscd") };
  }

  function decoded(key) {
    try {
      return decodeURIComponent(escape(atob(key.replace(/ /g, "+").replace(/=+$/, ""))));
    } catch (error) {
      return key;
    }
  }

  function cookie(name) {
    var found = document.cookie.split("; ").filter(function (pair) {
      return pair.indexOf(name + "=") === 0;
    });
    return found.length ? found[0].slice(name.length + 1) : null;
  }

  // The widest domain that the browser lets us have, so that subdomains see it too.
  function write(name, value) {
    var labels = location.hostname.split(".");
    var rest = "=" + value + "; path=/; max-age=" + DAYS * 24 * 60 * 60;
    for (var n = labels.length - 2; n >= 0; n--) {
      document.cookie = name + rest + "; domain=" + labels.slice(n).join(".");
      if (cookie(name) === value) return;
    }
    document.cookie = name + rest;
  }

  function remembered() {
    var xid = cookie("ps_xid");
    if (xid) return { xid: xid, partner_key: cookie("ps_partner_key") };
    try {
      return JSON.parse(localStorage.getItem(STORED));
    } catch (error) {
      return null;
    }
  }

  function keep(click) {
    growsumo.data.xid = click.xid;
    if (click.partner_key) growsumo.data.partner_key = click.partner_key;
    // As the real one: written a moment later, and renewed for as long as pages load it.
    setTimeout(function () {
      write("ps_xid", click.xid);
      write("gsxid", click.xid);
      if (click.partner_key) {
        write("ps_partner_key", click.partner_key);
        write("growSumoPartnerKey", click.partner_key);
      }
      if (click.link_domain) write("pscd", click.link_domain);
      localStorage.setItem(STORED, JSON.stringify(click));
    }, 0);
  }

  function recover(public_key) {
    fetch(origin + "/pr/grc/" + encodeURIComponent(public_key), { credentials: "include" })
      .then(function (answer) { return answer.json(); })
      .then(function (click) {
        if (!click.xid) return;
        write("ps_rc_fallback", "true");
        keep(click);
      })
      .catch(function () {});
  }

  var growsumo = window.growsumo = {
    data: {},
    _initialize: function (public_key) {
      growsumo._public_key = public_key;
      var click = parameters() || remembered();
      if (click) keep(click);
      else recover(public_key);
    },
    createSignup: function (done) {
      var told = new URLSearchParams();
      for (var name in growsumo.data) {
        if (growsumo.data[name]) told.set(name, growsumo.data[name]);
      }
      var path = "/pr/signup/" + encodeURIComponent(growsumo._public_key);
      return fetch(origin + path + "?" + told).then(function () { if (done) done(); });
    }
  };
})();
