(function (o) {
  "use strict";
  var d = document, box = "partnerstack_click", granted = !o.consent, click;
  function carried(query) {
    var given = new URLSearchParams(query);
    return o.names.some(function (name) {
      return given.has(name) || given.has("amp;" + name);
    }) && query;
  }
  function opened() {
    var page = performance.getEntriesByType("navigation")[0];
    return page ? page.name.split("#")[0].replace(/^[^?]*/, "") : "";
  }
  function stored(query) {
    try {
      if (query) sessionStorage.setItem(box, query);
      else if (query === "") sessionStorage.removeItem(box);
      return sessionStorage.getItem(box);
    } catch (error) {}
  }
  function post(pauses) {
    var settled;
    fetch(o.path, {
      method: "POST", body: click, credentials: "same-origin", keepalive: true,
      headers: {"Content-Type": "text/plain;charset=UTF-8"}
    }).then(function (answer) {
      settled = answer.status >= 400 && answer.status < 500 && answer.status !== 429;
      if (answer.status !== 204) throw new Error("answered " + answer.status);
      stored("");
    }).catch(function (error) {
      if (settled) stored("");
      else if (granted) stored(click);
      if (!settled && pauses.length) setTimeout(post, pauses[0], pauses.slice(1));
      console.error("The partner's click could not be kept: POST " + o.path, error);
    });
  }
  function keep() { post([1000, 4000, 16000]); }
  click = carried(location.search) || carried(opened()) || stored();
  if (!click) return;
  d.addEventListener("partnerstack:consent", function () { granted = true; keep(); });
  if (d.prerendering) d.addEventListener("prerenderingchange", keep, {once: true});
  else keep();
})
