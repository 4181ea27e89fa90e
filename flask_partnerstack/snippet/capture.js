(function (o) {
  "use strict";
  var d = document;
  function keep() {
    fetch(o.path, {
      method: "POST", body: location.search, credentials: "same-origin", keepalive: true,
      headers: {"Content-Type": "text/plain;charset=UTF-8"}
    }).then(function (answer) {
      if (!answer.ok) throw new Error("answered " + answer.status);
    }).catch(function (error) {
      console.error("The partner's click could not be kept: POST " + o.path, error);
    });
  }
  var carried = location.search.slice(1).split("&").some(function (field) {
    return o.names.indexOf(field.replace(/^amp;/, "").split("=")[0]) >= 0;
  });
  if (!carried) return;
  d.addEventListener("partnerstack:consent", keep);
  if (d.prerendering) d.addEventListener("prerenderingchange", keep, {once: true});
  else keep();
})
