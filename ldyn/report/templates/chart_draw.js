/* Drawing: from the data and the state of the controls to the contents of one SVG element. */

const SVG_NAMES = "http://www.w3.org/2000/svg";

function draw(name, attributes, parent, text) {
  const element = document.createElementNS(SVG_NAMES, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

/* The visible series of one stage: [{probe, stage, points: [{value, half, low, high, seen, step, n}]}]. */
function seriesOf(data, state, stage) {
  const bySplit = (data.values[stage.name] || {})[state.split] || {};
  const visible = data.probes.filter((probe) => state.shown.has(probe.key) && (bySplit[probe.key] || {})[state.quantity]);
  return visible.map((probe) => ({ probe, stage, points: pointsOf(bySplit[probe.key][state.quantity], state.mode, stage) }));
}

function pointsOf(numbers, mode, stage) {
  return stage.step
    .map((step, i) => {
      const [value, half] = [numbers[mode][i], numbers[mode + "_half"][i] ?? 0];
      const n = Array.isArray(numbers.n) ? numbers.n[i] : numbers.n;
      return { step, seen: stage.seen[i], value, half: numbers[mode + "_half"][i], low: value - half, high: value + half, n };
    })
    .filter((point) => point.value !== null);
}

function layoutOf(width, panels, own) {
  const wide = width >= 760;
  const box = { left: 60, right: wide ? 190 : 12, top: 30, bottom: 44, gap: own ? 58 : 26, wide };
  const height = Math.round(Math.max(300, Math.min(470, width * 0.46)));
  const panelWidth = (width - box.left - box.right - box.gap * (panels - 1)) / Math.max(1, panels);
  return { ...box, width, height, panelWidth, innerHeight: height - box.top - box.bottom };
}

function valueRange(all, state) {
  const values = all.flatMap((series) => series.points.flatMap((p) => (state.bands ? [p.low, p.high] : [p.value])));
  if (state.mode === "change") values.push(0);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (!values.length) [low, high] = [0, 1];
  const pad = (high - low) * 0.05 || Math.abs(high) * 0.05 || 0.5;
  return [low - pad, high + pad];
}

/* Draws everything; returns the points on the screen: {x, y, series, index}. */
function drawChart(svg, data, state, width) {
  svg.replaceChildren();
  const stages = state.chain.stages.map((name) => data.stages.find((stage) => stage.name === name)).filter(Boolean);
  const perStage = stages.map((stage) => seriesOf(data, state, stage));
  const ranges = perStage.map((all) => valueRange(all, state));
  const own = areUneven(ranges);
  const layout = layoutOf(width, stages.length, own);
  svg.setAttribute("viewBox", `0 0 ${layout.width} ${layout.height}`);
  const quantity = data.quantities.find((q) => q.key === state.quantity);
  const placed = stages.flatMap((stage, i) => {
    const [low, high] = own ? ranges[i] : valueRange(perStage.flat(), state);
    const y = (value) => layout.top + (1 - (value - low) / (high - low)) * layout.innerHeight;
    const left = panelLeft(layout, i);
    const right = own ? left + layout.panelWidth : layout.width - layout.right;
    if (own || i === 0) drawValueAxis(svg, layout, [left, right], [low, high], y, quantity, state);
    return drawPanel(svg, layout, i, stage, perStage[i], y, state);
  });
  if (layout.wide) labelEnds(svg, layout, placed, stages.at(-1));
  return placed;
}

/* Whether one scale for all panels would flatten the curves of one of them. */
function areUneven(ranges) {
  const spans = ranges.map(([low, high]) => high - low);
  return Math.max(...spans) > 3 * Math.min(...spans);
}

function panelLeft(layout, place) {
  return layout.left + place * (layout.panelWidth + layout.gap);
}

function drawValueAxis(svg, layout, [left, right], [low, high], y, quantity, state) {
  const ticks = niceTicks(low, high, 6);
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  for (const tick of ticks) {
    const zero = state.mode === "change" && Math.abs(tick) < step / 1e6;
    draw("line", { class: zero ? "zero" : "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }, svg);
    draw("text", { x: left - 7, y: y(tick) + 4, "text-anchor": "end" }, svg, formatTick(tick, step));
  }
  const middle = layout.top + layout.innerHeight / 2;
  const label = (state.mode === "change" ? "change of " : "") + `${quantity.label} (${quantity.unit})`;
  if (left > layout.left) return;
  draw("text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, svg, label);
}

function drawPanel(svg, layout, place, stage, all, y, state) {
  const left = panelLeft(layout, place);
  const bottom = layout.top + layout.innerHeight;
  const end = Math.max(1, ...stage.seen);
  const x = (seen) => left + (seen / end) * layout.panelWidth;
  draw("text", { class: "panel-title", x: left, y: layout.top - 11 }, svg, layout.panelWidth < stage.title.length * 8 ? stage.short : stage.title);
  draw("line", { class: "axis", x1: left, x2: left, y1: layout.top, y2: bottom }, svg);
  draw("line", { class: "axis", x1: left, x2: left + layout.panelWidth, y1: bottom, y2: bottom }, svg);
  for (const tick of niceTicks(0, end, Math.max(2, layout.panelWidth / 90))) {
    draw("line", { class: "axis", x1: x(tick), x2: x(tick), y1: bottom, y2: bottom + 4 }, svg);
    draw("text", { x: x(tick), y: bottom + 18, "text-anchor": "middle" }, svg, (tick || 0).toLocaleString("en-US"));
  }
  draw("text", { x: left + layout.panelWidth / 2, y: bottom + 36, "text-anchor": "middle" }, svg, "examples seen");
  return all.flatMap((series) => drawSeries(svg, series, x, y, state));
}

function drawSeries(svg, series, x, y, state) {
  const group = draw("g", { class: "series" }, svg);
  const { probe, points } = series;
  const path = (list, value) => list.map((p) => `${x(p.seen).toFixed(1)},${y(value(p)).toFixed(1)}`);
  if (state.bands && points.length > 1) {
    const edge = [...path(points, (p) => p.high), ...path(points, (p) => p.low).reverse()];
    draw("polygon", { class: "band", points: edge.join(" "), fill: probe.colour }, group);
  }
  const line = { class: "curve", stroke: probe.colour, "stroke-width": probe.width, "stroke-dasharray": probe.dash.join(" ") };
  draw("polyline", { ...line, points: path(points, (p) => p.value).join(" ") }, group);
  const last = points.at(-1);
  if (last) draw("circle", { cx: x(last.seen), cy: y(last.value), r: probe.width * 1.3, fill: probe.colour }, group);
  return points.map((point, index) => ({ x: x(point.seen), y: y(point.value), point, index, series, group }));
}

function labelEnds(svg, layout, placed, lastStage) {
  const ends = placed.filter((mark) => mark.series.stage === lastStage && mark.index === mark.series.points.length - 1);
  ends.sort((a, b) => a.y - b.y);
  const heights = spreadLabels(ends.map((mark) => mark.y), 15, layout.top, layout.top + layout.innerHeight);
  ends.forEach((mark, i) => {
    const { probe } = mark.series;
    const from = layout.width - layout.right;
    draw("line", { class: "leader", x1: mark.x + 4, y1: mark.y, x2: from + 14, y2: heights[i], stroke: probe.colour }, mark.group);
    const text = draw("text", { x: from + 18, y: heights[i] + 4 }, mark.group, `${probe.name} `);
    text.style.fill = probe.text;
    writeSymbol(text, probe);
  });
}

/* y⁺_gpts as y⁺ with a subscript. */
function writeSymbol(text, probe) {
  if (probe.group === "other") return;
  const [head, index] = probe.symbol.split(/_(.*)/s);
  draw("tspan", { "font-style": "italic" }, text, head);
  if (index) draw("tspan", { dy: 3, "font-size": 9 }, text, index);
}
