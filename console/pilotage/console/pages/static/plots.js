// Pictures to zoom into, drawn by Plotly when somebody opens one: <details data-plot="/api/v1/…/value">.
// The page tells the same in a picture of its own and in a table, so nothing is lost without this.
"use strict";
(() => {
  const library = document.currentScript.dataset.library;
  let loaded;

  function load() {
    loaded ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = library;
      script.addEventListener("load", () => resolve(window.Plotly));
      script.addEventListener("error", () => reject(new Error("the library cannot be loaded")));
      document.head.append(script);
    });
    return loaded;
  }

  // A token of the style sheet as a colour that Plotly reads: the browser computes light-dark() for us.
  function colour(name) {
    const probe = document.createElement("span");
    probe.className = `colour-${name}`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function traces(value) {
    const middle = point => new Date((Date.parse(point.start) + Date.parse(point.end)) / 2);
    const line = (kind, name, dash) => {
      const points = value.points.filter(point => point[kind]);
      const away = point => [point.high - point.value, point.value - point.low].map(part => part || 0);
      return {
        name, mode: "lines+markers", x: points.map(middle), y: points.map(point => point[kind].value),
        line: {color: colour(kind === "realized" ? "accent" : "warn"), dash, width: 2}, marker: {size: 5},
        error_y: {type: "data", symmetric: false, thickness: 1, width: 2,
          array: points.map(point => away(point[kind])[0]), arrayminus: points.map(point => away(point[kind])[1])},
      };
    };
    return [line("realized", "from labels", "solid"), line("estimated", "estimated", "dash")].filter(one => one.x.length);
  }

  function layout(value) {
    const axis = {gridcolor: colour("rule"), linecolor: colour("rule"), zeroline: false};
    const target = {type: "line", xref: "paper", x0: 0, x1: 1, y0: value.target, y1: value.target, line: {color: colour("soft"), dash: "dot", width: 1}};
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: colour("ink"), size: 13},
      margin: {l: 60, r: 16, t: 8, b: 40}, height: 380, dragmode: "zoom", hovermode: "closest",
      legend: {orientation: "h", y: 1.12}, xaxis: {...axis, rangeslider: {visible: value.points.length > 60}},
      yaxis: {...axis, title: {text: value.metric}}, shapes: value.target === null ? [] : [target],
    };
  }

  async function draw(frame) {
    const place = frame.querySelector("[data-plot-place]");
    try {
      const [plotly, answer] = await Promise.all([load(), fetch(frame.dataset.plot, {headers: {Accept: "application/json"}})]);
      if (!answer.ok) throw new Error(`the console answered ${answer.status}`);
      const value = await answer.json();
      place.textContent = "";
      await plotly.newPlot(place, traces(value), layout(value), {responsive: true, displayModeBar: false});
    } catch (error) {
      place.textContent = `It cannot be drawn: ${error.message}.`;
    }
  }

  document.addEventListener("toggle", event => {
    if (event.target.matches?.("details[data-plot]") && event.target.open) draw(event.target);
  }, true);
  document.addEventListener("pilotage:theme", () => {
    for (const frame of document.querySelectorAll("details[data-plot][open]")) draw(frame);
  });
})();
