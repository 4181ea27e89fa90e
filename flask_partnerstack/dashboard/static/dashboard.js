// Draws the figures, which the server has written into tables, as charts. Without it the page
// works all the same.
(() => {
  "use strict";

  const place = document.querySelector("[data-figures]");
  if (!place) return;
  let charts = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function read(table) {
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells]);
    return {
      labels: rows.map(([head]) => head.dataset.label ?? head.textContent.trim()),
      names: [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim()),
      tones: [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.dataset.tone),
      columns: [...table.tHead.rows[0].cells].slice(1).map((_, at) =>
        rows.map((cells) => Number(cells[at + 1].textContent))),
    };
  }

  function draw(canvas, horizontal) {
    const { labels, names, tones, columns } = read(document.getElementById(canvas.dataset.table));
    const counted = { beginAtZero: true, stacked: true, grid: { color: colour("--line") },
      ticks: { precision: 0, color: colour("--soft") }, border: { display: false } };
    const named = { stacked: true, grid: { display: false },
      ticks: { color: colour("--soft"), maxRotation: 0, autoSkip: !horizontal, autoSkipPadding: 16 } };
    return new Chart(canvas, {
      type: "bar",
      data: {
        labels,
        datasets: columns.map((data, at) => ({
          label: names[at], data, backgroundColor: colour(tones[at]), borderRadius: 2,
          barPercentage: 0.9, categoryPercentage: 0.9, maxBarThickness: 28,
        })),
      },
      options: {
        indexAxis: horizontal ? "y" : "x",
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "index", axis: horizontal ? "y" : "x", intersect: false },
        scales: horizontal ? { x: counted, y: named } : { x: named, y: counted },
        plugins: { legend: { position: "bottom", align: "start",
          labels: { color: colour("--soft"), boxWidth: 12, boxHeight: 12 } } },
      },
    });
  }

  function redraw() {
    charts.forEach((chart) => chart.destroy());
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    charts = [...place.querySelectorAll("canvas")].map((canvas) => {
      canvas.parentElement.hidden = false;
      return draw(canvas, canvas.dataset.axis === "y");
    });
    place.dataset.drawn = "";
  }

  async function load(address) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    const figures = found.querySelector("[data-figures]");
    if (!figures) return;
    const focused = document.activeElement?.dataset?.period;
    place.replaceChildren(...document.importNode(figures, true).childNodes);
    redraw();
    if (focused) place.querySelector(`[data-period="${focused}"]`)?.focus();
  }

  place.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-period]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    load(link.href);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  if (place.dataset.source) load(place.dataset.source);
  else redraw();
})();
